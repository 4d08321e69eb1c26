"""What a source has taken in and not settled yet: bounded, gathered into batches, answered one by one."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import TypeVar

from msgspec import Struct, field

from connectors.http.reply import RETRY, Outcome, Refusal, busy, stopping
from router import Batch, Constant, Framed, Headers, Lag, Violation

T = TypeVar("T")

BATCH_RECORDS = 1000
BATCH_BYTES = 2**20
"""Requests are gathered whole up to these; one that is larger is a batch by itself."""

_SHOWN = 100
"""So many of a rejected request's records are told of, and so many of the violations of each."""


class Bounds(Struct, frozen=True):
    """How many records may wait for their answers, and how many bytes of bodies. ``coming`` bounds the bytes of those
    that are not whole yet, so that slow clients leave room for the others."""

    records: int
    bytes: int
    coming: int


_NONE = Framed()


class Request(Struct, eq=False):
    """A request from its headers until it is settled, which may be after its answer.

    ``size`` is how many bytes are held for it, ``coming`` how many of these while its body is not whole.
    """

    headers: Headers
    remote: str | None
    content_type: str
    key: str = ""
    fingerprint: str = ""
    id: str = ""
    """What is the same when it is sent again, and for no request of another source, where it has a key."""
    arrived: float = field(default_factory=time.monotonic)
    time: int = field(default_factory=time.time_ns)
    patience: asyncio.Timeout | None = None
    """How long its body is waited for, while it is."""
    size: int = 0
    coming: int = 0
    records: Framed = field(default_factory=lambda: _NONE)
    admitted: bool = False
    read: bool = False
    safe: set[int] = field(default_factory=set)
    """Which of its records are safe elsewhere, while others of its batch are not."""
    waiters: list[asyncio.Future[Outcome]] = field(default_factory=list)
    """Who is to be told how it went: its own handler, and those of its repetitions."""

    def __len__(self) -> int:
        return len(self.records.values)

    def tell(self, outcome: Outcome) -> None:
        """Answer everyone who waits."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(outcome)

    def interrupt(self) -> None:
        """Wait no longer for its body."""
        if self.patience is not None and not self.patience.expired():
            self.patience.reschedule(0)


class Intake:
    """The requests of one epoch of a source. Everything but ``ready`` and ``outcome`` is synchronous.

    ``flying`` are those that are on their way, by their idempotency key, which nobody else may use for ``window``
    seconds.
    """

    def __init__(self, path: str, bounds: Bounds, window: float) -> None:
        self.stopping = False
        self.flying: dict[str, Request] = {}
        self._path = path
        self._bounds = bounds
        self._window = window
        self._requests: dict[Request, None] = {}  # in the order of their arrival
        self._queue: deque[Request] = deque()
        self._records = 0
        self._bytes = 0
        self._coming = 0
        self._arrival = asyncio.Event()

    # Taking in

    def enter(self, request: Request) -> None:
        """Account for a request until it is settled or has left."""
        self._requests[request] = None

    def check_room(self, size: int) -> None:
        """Raises Refusal when there is no room for so many bytes more."""
        if self._bytes + size > self._bounds.bytes:
            raise busy()

    def hold(self, request: Request, size: int, coming: bool) -> None:
        """Hold so many bytes for a request, or more if it has more; ``coming``: it is not whole. Raises Refusal."""
        more = size - request.size
        if more <= 0:
            return
        self.check_room(more)
        if coming:
            if self._coming + more > self._bounds.coming:
                raise busy("too much is coming in slowly")
            self._coming += more
            request.coming += more
        self._bytes += more
        request.size = size

    def admit(self, request: Request, records: Framed) -> None:
        """Queue the records of a request. Raises Refusal."""
        if self.stopping:
            raise stopping()
        if self._records + len(records.values) > self._bounds.records:
            raise busy()
        request.records, request.admitted = records, True
        self._records += len(request)
        self._arrived_whole(request)
        if request.key:
            self.flying[request.key] = request
        self._queue.append(request)
        self._arrival.set()

    async def outcome(self, request: Request, deadline: float) -> Outcome:
        """How it goes with a request, at the latest at this time of the loop's clock."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Outcome] = loop.create_future()
        request.waiters.append(waiter)
        timer = loop.call_at(deadline, _give_up, waiter)
        try:
            return await waiter
        finally:
            timer.cancel()
            request.waiters.remove(waiter)
            self.leave(request)

    def leave(self, request: Request) -> None:
        """A handler is done with it. Once read it counts until it is settled; if it was not, and nobody waits for it
        any more, it never will be."""
        if not request.admitted:
            self._release(request)
        elif not request.read and not request.waiters and request in self._requests:
            self._queue.remove(request)
            self._release(request)

    # Handing over

    async def ready(self) -> None:
        """Wait until there is something to gather."""
        while not self._queue:
            self._arrival.clear()
            await self._arrival.wait()

    def gather(self) -> Batch:
        """The next batch: requests as long as they fit, each of them whole."""
        requests: list[Request] = []
        values: list[bytes] = []
        spoiled: dict[int, str] = {}
        size = 0
        while self._queue:
            request = self._queue[0]
            size += request.size
            if requests and (len(values) + len(request) > BATCH_RECORDS or size > BATCH_BYTES):
                break
            self._queue.popleft()
            request.read = True
            requests.append(request)
            spoiled.update({len(values) + index: why for index, why in request.records.spoiled.items()})
            values += request.records.values
        known = {name for request in requests for name in request.records.known}
        return Batch(
            values=values,
            token=(self, requests),
            headers=_column([request.headers for request in requests], requests),
            times=_column([request.time for request in requests], requests),
            attributes={
                "method": Constant("POST", len(values)),
                "path": Constant(self._path, len(values)),
                "remote": _column([request.remote for request in requests], requests),
                "content_type": _column([request.content_type for request in requests], requests),
                **{name: _column([one.records.known.get(name) for one in requests], requests) for name in known},
            },
            ids=_ids(requests),
            ids_last=self._window,
            spoiled=spoiled,
        )

    def unsettled(self, requests: Iterable[Request]) -> list[Request]:
        """Those of which something is not settled or rejected."""
        return [request for request in requests if request in self._requests]

    def safe(self, requests: Sequence[Request], indices: Iterable[int]) -> list[Request]:
        """Of the requests in a batch those of which by now every record is safe, one of these indices among them."""
        ends = list(accumulate(map(len, requests)))
        found: dict[Request, None] = {}
        for index in indices:
            place = bisect_right(ends, index)
            request = requests[place]
            request.safe.add(index - ends[place] + len(request))
            if len(request.safe) == len(request):
                found[request] = None
        return self.unsettled(found)

    def settle(self, requests: Iterable[Request]) -> None:
        """These are safe elsewhere, as far as they were not rejected."""
        for request in requests:
            request.tell(len(request))
            self._release(request)

    def reject(self, requests: Sequence[Request], violations: Mapping[int, Sequence[Violation]]) -> list[int]:
        """Answer the requests that these records are of, by their index in the batch; the indices of all theirs."""
        ends = list(accumulate(map(len, requests)))
        found: dict[int, dict[int, Sequence[Violation]]] = {}
        for index, why in sorted(violations.items()):
            place = bisect_right(ends, index)
            start = ends[place] - len(requests[place])
            found.setdefault(place, {})[index - start] = why
        gone: list[int] = []
        for place, records in found.items():
            request = requests[place]
            request.tell(_rejection(records, len(request)))
            self._release(request)
            gone += range(ends[place] - len(request), ends[place])
        return gone

    def stop(self, *, unsettled: bool) -> None:
        """Admit nothing more, and answer what will never be read; ``unsettled``: what is read but not settled, too."""
        self.stopping = True
        for request in self._requests:
            if not request.admitted:
                request.interrupt()
            elif unsettled or not request.read:
                request.tell(stopping())

    def lag(self) -> Lag:
        """What waits to be settled, and since when the oldest of it."""
        oldest = next((request.arrived for request in self._requests if request.admitted), None)
        seconds = 0.0 if oldest is None else time.monotonic() - oldest
        return Lag(self._path, records=self._records, seconds=seconds, bytes=self._bytes)

    # Accounts

    def _arrived_whole(self, request: Request) -> None:
        self._coming -= request.coming
        request.coming = 0

    def _release(self, request: Request) -> None:
        if request not in self._requests:
            return
        del self._requests[request]
        self._arrived_whole(request)
        self._records -= len(request)
        self._bytes -= request.size
        if request.key and self.flying.get(request.key) is request:
            del self.flying[request.key]


def _give_up(waiter: asyncio.Future[Outcome]) -> None:
    if not waiter.done():
        waiter.set_result(Refusal(503, "not delivered in time; it may still be", RETRY))


def _rejection(records: Mapping[int, Sequence[Violation]], total: int) -> Refusal:
    shown = [
        {
            "record": number,
            "violations": [
                {"check": one.check, "place": one.place, "message": one.message} for one in violations[:_SHOWN]
            ],
        }
        for number, violations in list(records.items())[:_SHOWN]
    ]
    what = f"{len(records)} of {total} record(s) not accepted, so nothing of the request was kept"
    return Refusal(422, what, more={"records": shown})


def _column(values: list[T], requests: Sequence[Request]) -> Sequence[T]:
    """The value of each request, for each of its records."""
    if values.count(values[0]) == len(values):
        return Constant(values[0], sum(map(len, requests)))
    if len(values) == sum(map(len, requests)):
        return values
    return [value for value, request in zip(values, requests, strict=True) for _ in range(len(request))]


def _ids(requests: Sequence[Request]) -> Sequence[str | None] | None:
    """What is the same for a record whenever its request is sent again: by the key of that, where it has one."""
    if not any(request.id for request in requests):
        return None
    ids: list[str | None] = []
    for request in requests:
        ids += [f"{request.id}:{index}" for index in range(len(request))] if request.id else [None] * len(request)
    return ids
