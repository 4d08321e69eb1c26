"""The way to one sink: admission in strict order, batching, retry, dead-lettering.

A sink's connector only writes. Everything around it is here: the queue, bounded in records and bytes; what is an
outage and what is poison; what becomes of a record that the sink refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from router.admission import Admission
from router.batch import Batch, Lease
from router.errors import EndOfStream, NotConnected, StateError, Unavailable, WriteError
from router.interfaces import Sink
from router.letter import Letter
from router.letterbox import LetterBox
from router.load import Admitted, Load, Receipt, Segment
from router.logs import log_error
from router.metrics import Metrics
from router.part import Part
from router.retry import Backoff
from rules.outgoing import is_allowed

log = logging.getLogger(__name__)

STRIKES = 3
"""So often may one write bring a connection down that opens well, before the write is split to find the poison."""

CLOSE_SECONDS = 10.0
"""A sink that does not close in this time is left behind, so that stopping never hangs on it."""


_REMEMBERED = 3
"""Of so many texts it is remembered what may be shown of them, besides the last one."""


class Policy(Struct, frozen=True, kw_only=True):
    """How deliveries to one sink are batched, bounded and retried. Times in seconds."""

    batch_records: int = 10_000
    batch_bytes: int = 1 << 20
    batch_wait: float = 0.0
    attempts: int = 10
    backoff: float = 0.1
    timeout: float = 60.0
    queue_records: int = 50_000
    queue_bytes: int = 16 << 20
    when_full: str = "block"
    ordered: bool = True
    allow: Mapping[str, Sequence[str]] = field(default_factory=dict)


class _Tried(Struct):
    """What was written last, and what may be shown of what the sink said of it: the same again and again."""

    load: Load
    indices: Sequence[int]
    said: dict[str, str] = field(default_factory=dict)


class Outlet:
    """The way to one sink.

    ``put`` admits parts, strictly first in first out; ``run`` is the task that writes them. The sink underneath can be
    changed by ``replace`` while parts wait.

    A sink that says that it never will take anything again ends it: the receipts of all that it was not given, and of
    whatever is put from then on, raise ``EndOfStream``. ``ended`` is called once, when that happens.

    A sink that a reload takes away ends by ``give_up``.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        policy: Policy,
        *,
        letters: LetterBox,
        metrics: Metrics,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.policy = policy
        self.connected = False
        self.error = "not opened yet"
        self.since = time.time()
        self.queued_records = 0
        self.queued_bytes = 0
        self._sink = sink
        self._replacement: Sink | None = None
        self._for_old = 0
        self._opening: asyncio.Timeout | None = None
        self._comes_again: Callable[[str], bool] | None = None
        self._ended = ended
        self._end: EndOfStream | None = None
        self._letters = letters
        self._families = metrics
        self._metrics = metrics.sink(name)
        self._metrics.queue_limit_records.set_function(lambda: self.policy.queue_records)
        self._metrics.queue_limit_bytes.set_function(lambda: self.policy.queue_bytes)
        self._backoff = Backoff(initial=policy.backoff)
        self._queue: deque[Admitted] = deque()
        self._admission = Admission(self._has_room, self._take)
        self._wake = asyncio.Event()
        # Whether a record was given up since the last success. The search for the first one is quick; where nothing is
        # ever written, the sink may be away after all, and the search slows down so that it gives up little.
        self._condemned = False
        self._hurried = 0.0
        self._tried: _Tried | None = None
        self._allowed: dict[tuple[str, str], bool] = {}

    def status(self) -> dict[str, object]:
        """The connection and the queue, as JSON values."""
        return {
            "connected": self.connected,
            "error": self.error or None,
            "since": self.since,
            "queue": {"records": self.queued_records, "bytes": self.queued_bytes, "waiting": self._admission.waiting},
        }

    # Admission

    async def put(self, part: Part) -> Receipt:
        """Admit a part, after all that asked before; waits while the queue is full. Returns its receipt.

        A part larger than the queue's bounds is admitted alone. When cancelled while waiting, the part is not admitted.
        With ``when_full: dead_letter`` it never waits: what finds the queue full becomes dead letters.
        """
        receipt: Receipt = asyncio.get_running_loop().create_future()
        entry = Admitted(part, receipt)
        if self._comes_again is not None:
            await self._turn_away(entry)
        elif self.policy.when_full == "block":
            await self._admission.enter(entry)
        elif not self._admission.try_enter(entry):
            await self.refuse(entry, "the queue is full")
        return receipt

    def _has_room(self, entry: Admitted) -> bool:
        if self._end is not None or self._comes_again is not None:
            return True
        if not self._queue and not self.queued_records:
            return True
        batch = entry.part.batch
        return (
            self.queued_records + len(batch) <= self.policy.queue_records
            and self.queued_bytes + batch.bytes <= self.policy.queue_bytes
        )

    def _take(self, entry: Admitted) -> None:
        if self._end is not None:
            entry.fail(self._end)
            return
        self._queue.append(entry)
        self._count_queue(len(entry.part.batch), entry.part.batch.bytes)
        self._wake.set()

    def _count_queue(self, records: int, size: int) -> None:
        self.queued_records += records
        self.queued_bytes += size
        self._metrics.queue_records.set(self.queued_records)
        self._metrics.queue_bytes.set(self.queued_bytes)

    async def refuse(self, entry: Admitted, why: str, *, reason: str = "queue_full") -> None:
        """Make dead letters of a part that finds no room, and complete its receipt."""
        load = Load([entry])
        await self._dead_letter(load, dict.fromkeys(range(len(load.batch)), why), reason=reason, attempts=0)
        load.settle()

    def hurry(self) -> None:
        """What is in the queue by now need not wait for company: no more may come."""
        self._hurried = time.monotonic()
        self._wake.set()

    # What a reload changes

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits here, and nobody to put something here."""
        return not self._queue and not self._admission.waiting

    def change(self, policy: Policy) -> None:
        """From now on, batch, bound and retry so."""
        if policy.backoff != self.policy.backoff:
            self._backoff = Backoff(initial=policy.backoff)
        self.policy = policy
        self._allowed.clear()
        self._admission.admit_waiting()
        self._wake.set()

    def replace(self, sink: Sink) -> None:
        """Change the sink underneath. What waits by now goes to the old one, as long as that works; then, or at once,
        the old one is closed and this one opened."""
        if self._replacement is None:
            self._for_old = len(self._queue)
        self._replacement = sink
        if self._opening is not None:
            self._opening.reschedule(asyncio.get_running_loop().time())
        self._wake.set()

    @property
    def _is_replaced(self) -> bool:
        """Whether the old sink has done its part."""
        works = self.connected and not self.error
        return self._replacement is not None and not (works and self._for_old)

    async def give_up(self, comes_again: Callable[[str], bool]) -> None:
        """Once ``run`` has ended for good: have nothing wait here any more, neither what does nor what is put from now
        on. Where the source of a part reads it again (``comes_again``, by its name) its receipt raises NotConnected; of
        any other, dead letters are made."""
        self._comes_again = comes_again
        self._admission.admit_waiting()
        self._count_queue(-self.queued_records, -self.queued_bytes)
        while self._queue:
            await self._turn_away(self._queue.popleft())

    async def _turn_away(self, entry: Admitted) -> None:
        why = f"the configuration has no sink {self.name!r} any more"
        origin = entry.part.origin
        if origin.held is not None or (self._comes_again is not None and self._comes_again(origin.source)):
            entry.fail(NotConnected(why))
        else:
            await self.refuse(entry, why, reason="sink_removed")

    # Writing

    async def run(self) -> None:
        """Open the sink and write what is admitted, until cancelled or until the sink has ended; then close the sink.

        No failure of the sink ends it. What is in the queue when it is cancelled stays unsettled.
        """
        if self._end is not None:
            return
        try:
            await self._connect()
            while True:
                load = await self._next_load()
                await self._deliver(load)
                load.settle()
                self._tried = None
                self._release(load)
        except EndOfStream as end:
            self._finish(end)
        finally:
            await self._close_sink(self._sink)

    def _finish(self, end: EndOfStream) -> None:
        """The sink never will take anything again."""
        log.error("sink %s: %s; nothing more can be delivered to it", self.name, end)
        self._end = end
        self._set_down(str(end))
        self._count_queue(-self.queued_records, -self.queued_bytes)
        while self._queue:
            self._queue.popleft().fail(end)
        self._admission.admit_waiting()
        self._ended()

    async def _next_load(self) -> Load:
        while not self._queue or self._is_replaced:
            if self._is_replaced:
                await self._connect()
                continue
            self._wake.clear()
            await self._wake.wait()
        await self._linger()
        most = len(self._queue) if self._replacement is None else max(1, self._for_old)
        policy, taken, records, size = self.policy, 1, len(self._queue[0].part.batch), self._queue[0].part.batch.bytes
        while taken < most:
            batch = self._queue[taken].part.batch
            records, size = records + len(batch), size + batch.bytes
            if records > policy.batch_records or size > policy.batch_bytes:
                break
            taken += 1
        return Load([self._queue[position] for position in range(taken)])

    async def _linger(self) -> None:
        """Give a batch that is not full yet up to ``batch.wait`` since its first part came to fill up."""
        while self.policy.batch_wait and self.queued_records < self.policy.batch_records:
            if self.queued_bytes >= self.policy.batch_bytes:
                return
            since = self._queue[0].since
            left = since + self.policy.batch_wait - time.monotonic()
            if left <= 0 or since <= self._hurried:
                return
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._wake.wait()

    def _release(self, load: Load) -> None:
        """Free the room of a load that is settled. Until then its parts count, so memory stays within the bounds."""
        for _ in load.admitted:
            self._queue.popleft()
        self._for_old = max(0, self._for_old - len(load.admitted))
        self._count_queue(-len(load.batch), -sum(entry.part.batch.bytes for entry in load.admitted))
        self._admission.admit_waiting()

    async def _deliver(self, load: Load) -> None:
        await self._refuse_disallowed(load)
        todo = deque(load.segments(self.policy.batch_records, self.policy.batch_bytes))
        while todo:
            again = await self._attempt(load, todo.popleft())
            if self.policy.ordered:
                todo.extendleft(reversed(again))
            else:
                todo.extend(again)
        now = time.monotonic()
        for entry in load.admitted:
            origin = entry.part.origin
            self._families.end_to_end.labels(origin.source, self.name).observe(now - origin.read_at)

    async def _attempt(self, load: Load, segment: Segment) -> list[Segment]:
        """Write a segment once. What must be written again comes back, in order."""
        if self._is_replaced or not self.connected:
            await self._connect()
        segment = self._still_leased(load, segment)
        if not segment.indices:
            return []
        batch, begun = load.take(segment), time.monotonic()
        if self._tried is None or self._tried.indices is not segment.indices:
            self._tried = _Tried(load, segment.indices)
        try:
            async with asyncio.timeout(self.policy.timeout) as limit:
                with _written_under(load.leases, limit):
                    await self._sink.write(batch)
        except EndOfStream as error:
            raise EndOfStream(await self._said(str(error))) from None
        except WriteError as error:
            self._metrics.write_seconds.observe(time.monotonic() - begun)
            return await self._after_refusal(load, segment, batch, error)
        except TimeoutError:
            return await self._after_drop(load, segment, self._why_cut_off(begun))
        except StateError as error:  # what the sink remembers cannot be kept
            return await self._after_delay(segment, str(error), 0.0, begun)
        except Unavailable as error:
            why = await self._said(str(error) or "it takes nothing for now")
            return await self._after_delay(await self._unwritten(load, segment, batch, error), why, error.after, begun)
        except NotConnected as error:
            why = await self._said(str(error) or type(error).__name__)
            segment = await self._unwritten(load, segment, batch, error)
            return await self._after_drop(load, segment, why, answered=error.answered)
        except ConnectionError as error:
            why = await self._said(str(error) or type(error).__name__)
            return await self._after_drop(load, segment, why)
        except Exception as error:  # noqa: BLE001 - whatever a connector raises must not stop the outlet
            return await self._after_crash(load, segment, error)
        self._metrics.write_seconds.observe(time.monotonic() - begun)
        self._written(len(batch), batch.bytes)
        return []

    def _why_cut_off(self, begun: float) -> str:
        if time.monotonic() - begun < self.policy.timeout:
            return "a write was cut off, since a partition in it went to another reader"
        return f"a write took longer than {self.policy.timeout:g} s"

    def _written(self, records: int, size: int) -> None:
        self._metrics.records.inc(records)
        self._metrics.bytes.inc(size)
        self._backoff.reset()
        self._condemned = False
        self.error = ""

    def _still_leased(self, load: Load, segment: Segment) -> Segment:
        lost = {lease for lease in load.leases if lease.revoked}
        leases = load.batch.leases
        if leases is None or not lost:
            return segment
        kept = [index for index in segment.indices if leases[index] not in lost]
        self._metrics.revoked.inc(len(segment.indices) - len(kept))
        return replace(segment, indices=kept)

    async def _after_refusal(self, load: Load, segment: Segment, batch: Batch, error: WriteError) -> list[Segment]:
        """Some records were refused; the others are durable."""
        failed = {i: error.failed[i] for i in sorted(error.failed) if 0 <= i < len(batch)}
        if not failed:
            return await self._after_crash(load, segment, error)
        written = len(batch) - len(failed)
        if written:
            self._written(written, batch.bytes - sum(len(batch.values[i]) for i in failed))
        attempts = segment.attempts + 1
        again = {segment.indices[i]: reason for i, reason in failed.items() if error.is_retryable(i)}
        refused = {segment.indices[i]: reason for i, reason in failed.items() if not error.is_retryable(i)}
        await self._dead_letter_said(load, refused, reason="refused", attempts=attempts)
        if attempts >= self.policy.attempts:
            await self._dead_letter_said(load, again, reason="attempts_exhausted", attempts=attempts)
            return []
        if not again:
            return []
        self._metrics.retries.inc()
        self.error = await self._said(next(iter(again.values())))
        await self._pause()
        return [replace(segment, indices=list(again), attempts=attempts)]

    async def _unwritten(self, load: Load, segment: Segment, batch: Batch, error: NotConnected) -> Segment:
        """What is left of a segment whose write broke off. Where some of it was written or refused, its strikes begin
        anew: the first of what is left may be to blame, and it was not tried so often."""
        every = range(len(batch))
        refused = {index: reason for index, reason in error.refused.items() if index in every}
        unwritten = every if error.unwritten is None else sorted(set(error.unwritten).intersection(every))
        left = [index for index in unwritten if index not in refused]
        if len(left) == len(batch):
            return segment
        reasons = {segment.indices[index]: reason for index, reason in refused.items()}
        await self._dead_letter_said(load, reasons, reason="refused", attempts=segment.attempts + 1)
        if written := len(batch) - len(left) - len(refused):
            self._written(written, batch.bytes - sum(len(batch.values[index]) for index in (*left, *refused)))
        return replace(segment, indices=[segment.indices[index] for index in left], strikes=0)

    async def _after_delay(self, segment: Segment, why: str, after: float, begun: float) -> list[Segment]:
        """The system takes nothing for now, and is given the time that it asks for. A write that has waited for it
        already need not wait again."""
        if why != self.error:
            log.warning("sink %s: %s; trying again", self.name, why)
        self.error = why
        self._metrics.retries.inc()
        await self._pause(after, begun)
        return [segment] if segment.indices else []

    async def _after_drop(self, load: Load, segment: Segment, why: str, *, answered: bool = False) -> list[Segment]:
        """The connection went away during a write: an outage, or a record that brings it down. ``answered`` as in
        NotConnected."""
        log.warning("sink %s: connection lost while writing %d record(s): %s", self.name, len(segment.indices), why)
        self._set_down(why)
        await self._close_sink(self._sink)
        await self._pause()
        await self._connect()
        if not segment.indices:
            return []
        self._metrics.retries.inc()
        segment.strikes += 1
        patience = max(STRIKES, self.policy.attempts) if answered and not segment.is_half else STRIKES
        return [segment] if segment.strikes < patience else await self._bisect(load, segment, "brings_sink_down", why)

    async def _after_crash(self, load: Load, segment: Segment, error: Exception) -> list[Segment]:
        """The connector raised what it never should: the write is split until the record that does it is found."""
        why = await self._said(f"{type(error).__name__}: {error}")
        await self._log_crash(error, "sink %s: write failed in an unforeseen way: %s", self.name, why)
        self._set_down(why)
        await self._close_sink(self._sink)
        await self._connect()
        return await self._bisect(load, segment, "crashes_sink", why)

    async def _said(self, text: str) -> str:
        """What the sink gave as a reason, without what must not be shown of the records that it was to write."""
        tried = self._tried
        if tried is None:
            return text
        if text not in tried.said:
            (shown,) = await self._letters.said([text], self.name, map(tried.load.part_of, tried.indices))
            tried.said = {text: shown, **dict(list(tried.said.items())[:_REMEMBERED])}
        return tried.said[text]

    async def _log_crash(self, error: Exception, message: str, *arguments: object) -> None:
        trace = await self._said("".join(traceback.format_exception(error)).rstrip())
        log_error(log, trace, message, *arguments)

    async def _bisect(self, load: Load, segment: Segment, reason: str, why: str) -> list[Segment]:
        if len(segment.indices) > 1:
            if not self._condemned:
                self._backoff.reset()
            return segment.halves()
        self._condemned = True
        await self._dead_letter(load, {segment.indices[0]: why}, reason=reason, attempts=segment.attempts + 1)
        return []

    async def _pause(self, least: float = 0.0, begun: float = math.inf) -> None:
        """Wait before the next attempt, ``least`` seconds at least, and as the backoff says, which counts from when the
        last one has ``begun``; a replacement of the sink ends the wait."""
        now = time.monotonic()
        deadline = max(now + least, min(now, begun) + self._backoff.next())
        while not self._is_replaced and (left := deadline - time.monotonic()) > 0:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._wake.wait()

    # Dead letters

    async def _dead_letter(self, load: Load, reasons: Mapping[int, str], *, reason: str, attempts: int) -> None:
        if not reasons:
            return
        letters: list[Letter] = []
        for index, detail in reasons.items():
            part, position = load.part_of(index)
            letter = part.letter(position, sink=self.name, reason=reason, detail=detail, attempts=max(1, attempts))
            part.lost(position, self.name, reason, detail)
            (letters if part.origin.held is None else part.origin.held).append(letter)
        await self._letters.put(letters)

    async def _dead_letter_said(self, load: Load, reasons: Mapping[int, str], *, reason: str, attempts: int) -> None:
        """The same for reasons that the sink gave. What it said of several records shows in the letter of none what
        must not be shown of the others; what that is in its own record, the letter itself tells."""
        shared = [text for text, times in Counter(reasons.values()).items() if times > 1]
        if shared and (tried := self._tried) is not None:
            said = await self._letters.said(shared, self.name, map(tried.load.part_of, tried.indices))
            shown = dict(zip(shared, said, strict=True))
            reasons = {index: shown.get(text, text) for index, text in reasons.items()}
        await self._dead_letter(load, reasons, reason=reason, attempts=attempts)

    async def _refuse_disallowed(self, load: Load) -> None:
        """Dead-letter what a record chose and ``allow`` does not permit; what remains is the load."""
        if not self.policy.allow:
            return
        refused: dict[int, str] = {}
        for setting, patterns in self.policy.allow.items():
            for index, value in enumerate(load.batch.settings.get(setting, ())):
                if value is not None and not self._allows(setting, str(value), patterns):
                    refused[index] = f"{setting} {str(value)!r} is not allowed; `allow` has {', '.join(patterns)}"
        if refused:
            await self._dead_letter(load, refused, reason="not_allowed", attempts=1)
            load.exclude(refused)

    def _allows(self, setting: str, value: str, patterns: Sequence[str]) -> bool:
        known = self._allowed.get((setting, value))
        if known is None:
            if len(self._allowed) > 10_000:
                self._allowed.clear()
            known = is_allowed(value, patterns)
            self._allowed[setting, value] = known
        return known

    # Connection

    async def _connect(self) -> None:
        """Open the sink, with backoff, for as long as it takes; take its replacement when there is one."""
        while True:
            if self._replacement is not None:
                await self._close_sink(self._sink)
                self._sink, self._replacement, self._for_old = self._replacement, None, 0
                self._backoff.reset()
            why = await self._try_open()
            if why is None:
                return
            if self._replacement is None and (why != self.error or self.connected):
                log.warning("sink %s: cannot connect: %s; trying again", self.name, why)
            self._set_down(why)
            await self._close_sink(self._sink)
            await self._pause()

    async def _try_open(self) -> str | None:
        try:
            async with asyncio.timeout(self.policy.timeout) as self._opening:
                await self._sink.open()
        except TimeoutError:
            return f"opening took longer than {self.policy.timeout:g} s"
        except EndOfStream:
            raise
        except (NotConnected, OSError, StateError) as error:
            return await self._said(str(error) or type(error).__name__)
        except Exception as error:  # noqa: BLE001 - whatever a connector raises must not stop the outlet
            await self._log_crash(error, "sink %s: open failed in an unforeseen way", self.name)
            return await self._said(f"{type(error).__name__}: {error}")
        finally:
            self._opening = None
        if not self.connected:
            log.info("sink %s: connected", self.name)
        self.connected, self.error, self.since = True, "", time.time()
        self._metrics.connected.set(1)
        return None

    def _set_down(self, why: str) -> None:
        self._disconnected()
        self.error = why

    def _disconnected(self) -> None:
        if self.connected:
            self.since = time.time()
        self.connected = False
        self._metrics.connected.set(0)

    async def _close_sink(self, sink: Sink) -> None:
        try:
            async with asyncio.timeout(min(self.policy.timeout, CLOSE_SECONDS)):
                await sink.close()
        except Exception as error:  # noqa: BLE001 - what cannot be closed is left behind
            log.warning("sink %s: close failed: %s", self.name, await self._said(str(error)))
        self._disconnected()


@contextlib.contextmanager
def _written_under(leases: Collection[Lease], limit: asyncio.Timeout) -> Iterator[None]:
    for lease in leases:
        lease.begin_write(limit)
    try:
        yield
    finally:
        for lease in leases:
            lease.end_write(limit)
