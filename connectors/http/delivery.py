"""One write of the sink ``http``: its requests, and what became of each record."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet

from connectors.http.answers import Answer
from connectors.http.outgoing import Bodies, Route
from connectors.http.results import OVERLOADED, Fate, results_of
from router import Batch, Expression, NotConnected, Unavailable, WriteError

Request = tuple[Route, Sequence[int]]
"""A request to make, with the indices of its records."""
Post = Callable[[Route, bytes], Awaitable[Answer]]

_OF_A_RECORD = frozenset({400, 409, 413, 422})
"""Answers that one record may have brought upon all of its request: it is looked for by sending halves."""
_IN_VAIN = 32
"""So many smaller requests may be refused in a row before the rest of a request is refused as a whole: then it is
not a record that the server does not like. A single bad one among a million takes 20."""


class Delivery:
    """What became of the records of a batch, so far."""

    def __init__(self, batch: Batch, post: Post, bodies: Bodies, results: Expression | None) -> None:
        self._batch = batch
        self._post = post
        self._bodies = bodies
        self._results = results
        self._left = set(range(len(batch)))
        self._retry: dict[int, str] = {}
        self._trouble: NotConnected | None = None
        self.refused: dict[int, str] = {}
        """Records that never can be written, with the reason."""

    async def run(self, requests: Sequence[Request], *, concurrency: int, until: float) -> None:
        """Make the requests, so many at a time; none begins after ``until``, in the time of the event loop.

        Requests are made in their order, and with ``concurrency`` those that have a key in common are. Returns when
        every record is written. Raises WriteError, NotConnected and Unavailable as ``Sink.write`` does.
        """
        chains = [deque(requests)] if concurrency == 1 else self._chains(requests)
        waiting = deque(chains)

        async def work() -> None:
            while waiting and self._trouble is None:
                await self._follow(waiting.popleft(), until)

        if min(concurrency, len(chains)) == 1:
            await work()
        else:
            async with asyncio.TaskGroup() as workers:
                for number in range(min(concurrency, len(chains))):
                    workers.create_task(work(), name=f"http request {number}")
        self._conclude()

    def _chains(self, requests: Iterable[Request]) -> list[deque[Request]]:
        """Requests that must be made one after the other, together. One with several records is a chain of its own."""
        keys = self._batch.keys
        chains: dict[object, deque[Request]] = {}
        for number, (route, indices) in enumerate(requests):
            key = None if keys is None or len(indices) > 1 else keys[indices[0]]
            chains.setdefault(number if key is None else key, deque()).append((route, indices))
        return list(chains.values())

    async def _follow(self, chain: deque[Request], until: float) -> None:
        """Make the requests of a chain until something is in the way of all further ones."""
        while chain and self._trouble is None:
            route, indices = chain.popleft()
            try:
                await self._deliver(route, indices, until)
            except NotConnected as trouble:
                self._trouble = self._trouble or trouble

    async def _deliver(self, route: Route, indices: Sequence[int], until: float) -> None:
        """Make a request, or several smaller ones, until each of its records has its fate. Raises NotConnected."""
        todo, in_vain = [indices], 0
        while todo:
            if asyncio.get_running_loop().time() > until:
                raise Unavailable("the requests take longer than one write may; the rest of them follows")
            part = todo.pop()
            body = self._bodies.make(self._batch, part)
            if len(part) > 1 and len(body) >= self._bodies.too_large:
                todo += _halves(part)
                continue
            answer = await self._post(route, body)
            if answer.is_success:
                self._bodies.was_taken(len(body))
                self._take(part, answer)
                in_vain = 0
                continue
            if answer.status == 413 and len(part) > 1:
                self._bodies.was_too_large(len(body))
            in_vain += 1
            if answer.status in OVERLOADED:
                self._retry.update(dict.fromkeys(part, str(answer)))
            elif answer.status in _OF_A_RECORD and len(part) > 1 and in_vain <= _IN_VAIN:
                todo += _halves(part)
            else:
                self._refuse(part, answer)

    def _take(self, indices: Sequence[int], answer: Answer) -> None:
        if self._results is None:
            self._left.difference_update(indices)
            return
        try:
            if not answer.whole:
                raise ValueError("it is too large")
            results = results_of(self._results, answer, len(indices))
        except ValueError as error:
            raise NotConnected(f"`results` cannot read the answer ({error}), which is {answer}") from error
        delayed = ""
        for index, result in zip(indices, results, strict=True):
            if result.fate is Fate.WRITTEN:
                self._left.discard(index)
            elif result.fate is Fate.REFUSED:
                self.refused[index] = result.reason
            elif result.fate is Fate.RETRY:
                self._retry[index] = result.reason
            else:
                delayed = delayed or result.reason
        if delayed:
            raise Unavailable(f"the server takes no more for now: {delayed}", after=answer.retry_after or 0.0)

    def _refuse(self, indices: Sequence[int], answer: Answer) -> None:
        of_many = f" (to a request with {len(indices)} records)" if len(indices) > 1 else ""
        self.refused.update(dict.fromkeys(indices, f"{answer}{of_many}"))

    def _conclude(self) -> None:
        if self._trouble is not None:
            left = self._left - self.refused.keys()
            self._trouble.unwritten = left | self._followers(left)
            self._trouble.refused = self.refused
            raise self._trouble
        followers = self._followers(self._retry.keys())
        again = dict.fromkeys(followers, "follows a record with the same key that is sent again") | self._retry
        if failed := self.refused | again:
            raise WriteError(failed, retryable=again.keys())

    def _followers(self, failed: AbstractSet[int]) -> set[int]:
        """The records that follow one of these with the same key, and so are written again after it."""
        keys = self._batch.keys
        if keys is None or not failed:
            return set()
        blocked, found = set[bytes](), set[int]()
        for index, key in enumerate(keys):
            if key is None:
                continue
            if index in failed:
                blocked.add(key)
            elif key in blocked and index not in self.refused:
                found.add(index)
        return found


def _halves(indices: Sequence[int]) -> list[Sequence[int]]:
    """The second half and the first, which is taken first."""
    middle = len(indices) // 2
    return [indices[middle:], indices[:middle]]
