"""From one source through its flow to the outlets, and the acknowledgement back.

An epoch is the time between a source's ``open()`` and ``close()``. In it a reader reads, decides and hands over; a
settler awaits the receipts and only then acknowledges. Whatever goes wrong ends the epoch, and the next one begins at
the last acknowledged position.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from msgspec import structs

from router.batch import Batch
from router.errors import EndOfStream, NotConnected
from router.gatekeeper import Gatekeeper
from router.interfaces import Lag, Rejects, Source
from router.letterbox import LetterBox
from router.load import Way
from router.metrics import FlowMetrics, Metrics
from router.pace import Pace
from router.part import Origin, parts_of
from router.retry import Backoff
from router.sampling import Samples
from router.settler import Settler, Unsettled
from rules.decisions import Letter as DecidedLetter
from rules.decisions import Rejection
from rules.ruleset import Decisions, Ruleset

log = logging.getLogger(__name__)

UNKEPT_LETTERS = 10_000
"""So many dead letters may be on their way to the disk before no more is read."""
LETTERS_AT_ONCE = 2_000
LAG_SECONDS = 5.0
OPEN_SECONDS = 60.0
CLOSE_SECONDS = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Routing:
    """How the records of a source are decided about, and the ways to the sinks: changed as one, between two batches."""

    ruleset: Ruleset
    outlets: Mapping[str, Way]
    gates: Gatekeeper | None
    metrics: FlowMetrics


class _Interrupted(Exception):
    """The reader stopped because the daemon stops."""


class Pipeline:
    """One source, read through one flow. ``run`` is its task; ``reroute`` changes where records go, from the next batch
    on."""

    def __init__(
        self,
        name: str,
        source: Source,
        ruleset: Ruleset,
        outlets: Mapping[str, Way],
        *,
        letters: LetterBox,
        metrics: Metrics,
        stop: asyncio.Event,
        gates: Gatekeeper | None = None,
        samples: Samples | None = None,
    ) -> None:
        self.name = name
        self.source = source
        self._rejects = source if isinstance(source, Rejects) else None
        self._families = metrics
        self._routing = Routing(ruleset, outlets, gates, metrics.flow(ruleset.name))
        self._pace = Pace()
        self._in_hand: Routing | None = None
        self.connected = False
        self.tried = asyncio.Event()
        """Set once the source has been opened, or could not be: until then nobody reaches one that listens."""
        self.ended = False
        self.error = "not opened yet"
        self.since = time.time()
        self.lags: Sequence[Lag] = ()
        self._letters = letters
        self._samples = samples or Samples()
        self._metrics = metrics.source(name)
        self._settler = Settler(name, source, letters.state, self._metrics)
        self._stop = stop
        self.backoff = Backoff()
        self._reader: asyncio.Task[None] | None = None
        self._in_read = False
        self._finish: Callable[[], Awaitable[None]] | None = getattr(source, "finish", None)
        self._keeping: set[asyncio.Task[None]] = set()
        self._unkept_letters = 0
        self._letters_kept = asyncio.Event()

    @property
    def ruleset(self) -> Ruleset:
        """What decides about the next batch."""
        return self._routing.ruleset

    @property
    def outlets(self) -> Mapping[str, Way]:
        """Where the next batch goes."""
        return self._routing.outlets

    @property
    def unsettled_records(self) -> int:
        """How many of those that were read are not yet settled."""
        return self._settler.records

    def reroute(self, ruleset: Ruleset, outlets: Mapping[str, Way], gates: Gatekeeper | None = None) -> None:
        """From the next batch on, decide so. A batch that is being handed over still goes where it was to go."""
        self._routing = Routing(ruleset, outlets, gates, self._families.flow(ruleset.name))
        self._pace = Pace()

    def uses(self, way: Way) -> bool:
        """Whether a batch may still go this way."""
        return any(way is other for routing in self._used for other in routing.outlets.values())

    def goes_through(self, flow: str) -> bool:
        """Whether a batch may still go through this flow."""
        return any(routing.ruleset.name == flow for routing in self._used)

    @property
    def _used(self) -> list[Routing]:
        return [self._routing] if self._in_hand is None else [self._routing, self._in_hand]

    async def run(self) -> None:
        """Read until the source ends or ``stop`` is set, and return when all that was read is settled.

        When cancelled, or when a sink has ended, what is not settled is given up: a source that can replay reads it
        again at the next start, of any other it is counted as abandoned.
        """
        try:
            while not self._stop.is_set() and not self.ended:
                await self._epoch_until_failure()
            await self._settler.wait_until_empty()
        finally:
            self._settler.give_up()

    def status(self) -> dict[str, object]:
        """The connection, the lag and what is unsettled, as JSON values."""
        return {
            "flow": self.ruleset.name,
            "connected": self.connected,
            "ended": self.ended,
            "error": self.error or None,
            "since": self.since,
            "unsettled": {"batches": self._settler.batches, "records": self._settler.records},
            "lag": [structs.asdict(lag) for lag in self.lags],
        }

    async def _epoch_until_failure(self) -> None:
        try:
            # A task of its own: a TaskGroup that fails may leave its task marked as cancelled before Python 3.13, and
            # with that mark the timeouts of Python 3.11.2 do not end.
            await asyncio.create_task(self._epoch(), name=f"epoch of {self.name}")
        except* (NotConnected, TimeoutError, ConnectionError) as group:
            self._fail(f"{_first(group)}" or "not connected", logging.WARNING)
        except* Exception as group:  # noqa: BLE001 - a connector that crashes is opened again, never the daemon
            error = _first(group)
            self._fail(f"failed in an unforeseen way: {type(error).__name__}: {error}", logging.ERROR, error)
        self._settler.forget()
        if not self.ended and not self._stop.is_set():
            await self._pause()

    def _fail(self, why: str, level: int, error: BaseException | None = None) -> None:
        self.ended = False
        self._set_down(why)
        place = " at its last acknowledged position" if self.source.replays else ""
        log.log(level, "source %s: %s; opening it again%s", self.name, why, place, exc_info=error)

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.backoff.next()):
                await self._stop.wait()

    # One epoch

    async def _epoch(self) -> None:
        try:
            await self._open()
            queue: asyncio.Queue[Unsettled | None] = asyncio.Queue()
            async with asyncio.TaskGroup() as aides:
                watch = aides.create_task(self._watch_lag(), name=f"lag of {self.name}")
                halt = aides.create_task(self._halt(), name=f"halt of {self.name}")
                async with asyncio.TaskGroup() as work:
                    work.create_task(self._settler.run(queue, work), name=f"settler of {self.name}")
                    self._reader = work.create_task(self._read(queue, work), name=f"reader of {self.name}")
                watch.cancel()
                halt.cancel()
            await self._measure_lag()
        finally:
            self._reader = None
            await self._close()

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self.source.open()
        finally:
            self.tried.set()
        log.info("source %s: connected", self.name)
        self.connected, self.error, self.since = True, "", time.time()
        self._metrics.connected.set(1)

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.source.close()
        except Exception as error:  # noqa: BLE001 - what cannot be closed is left behind
            log.warning("source %s: close failed: %s", self.name, error)
        self._set_down(self.error or ("ended" if self.ended else "closed"))

    def _set_down(self, why: str) -> None:
        if self.connected:
            self.since = time.time()
        self.connected, self.error = False, why
        self._metrics.connected.set(0)
        self._metrics.ended.set(self.ended)

    async def _halt(self) -> None:
        """When the daemon stops, have a source finish that can; the reader of any other is interrupted where it may be:
        in ``source.read()``."""
        await self._stop.wait()
        if self._finish is not None:
            try:
                await self._finish()
            except Exception as error:
                log.error("source %s: cannot finish: %s", self.name, error, exc_info=error)
                self._finish = None
            else:
                return
        if self._in_read and self._reader is not None:
            self._reader.cancel()

    # Reading

    async def _read(self, queue: asyncio.Queue[Unsettled | None], work: asyncio.TaskGroup) -> None:
        with contextlib.suppress(_Interrupted):
            while self._finish is not None or not self._stop.is_set():
                try:
                    batch = await self._next_batch()
                except EndOfStream:
                    self.ended = True
                    break
                except Exception:
                    await self._keep_letters()
                    raise
                self.backoff.reset()
                await self._hand_over(batch, queue, work)
        for outlet in self.outlets.values():
            outlet.hurry()
        queue.put_nowait(None)

    async def _next_batch(self) -> Batch:
        self._in_read = True
        try:
            return await self.source.read()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._stop.is_set() and task is not None and task.uncancel() == 0:
                raise _Interrupted from None
            raise
        finally:
            self._in_read = False

    async def _hand_over(self, batch: Batch, queue: asyncio.Queue[Unsettled | None], work: asyncio.TaskGroup) -> None:
        """Decide about a batch, hand its parts to the outlets, and put what is to be awaited into the queue."""
        await self._settler.wait_for_room(batch)
        routing = self._in_hand = self._routing
        try:
            await self._hand_over_by(routing, batch, queue, work)
        finally:
            self._in_hand = None

    async def _hand_over_by(
        self, routing: Routing, batch: Batch, queue: asyncio.Queue[Unsettled | None], work: asyncio.TaskGroup
    ) -> None:
        entry = self._settler.take_in(batch, routing.gates)
        self._metrics.records.inc(len(batch))
        self._metrics.bytes.inc(batch.bytes)
        ruleset, gates = routing.ruleset, routing.gates
        kept, decisions = await self._decide(routing, entry)
        origin = Origin(kept, flow=ruleset.name, source=self.name, version=ruleset.version, fate=entry.fate)
        if decisions.letters:
            await self._wait_for_letters(len(decisions.letters))
            keeping = work.create_task(self._keep(decisions.letters, origin), name=f"dead letters of {self.name}")
            self._count_unkept(keeping, len(decisions.letters))
            entry.receipts.append(keeping)
            entry.shares.append((keeping, [letter.index for letter in decisions.letters]))
        for sink, part in parts_of(decisions, origin):
            receipt = await routing.outlets[sink].put(part)
            if receipt.done() and isinstance(receipt.exception(), NotConnected):
                receipt.result()  # the sink was taken away: nothing that comes later may overtake what was to go there
            entry.receipts.append(receipt)
            entry.shares.append((receipt, part.indices))
        if kept is not batch:
            entry.shares.clear()
        if gates is not None and entry.crossing is not None:
            leaning = gates.follow(entry.crossing, entry.receipts, kept.leases)
            if leaning:
                entry.shares.clear()
            entry.receipts += leaning
        entry.is_whole = True
        queue.put_nowait(entry)

    async def _keep(self, decided: Sequence[DecidedLetter], origin: Origin) -> None:
        """Make dead letters, and keep them: some at a time, since each takes many times the memory of its record."""
        for start in range(0, len(decided), LETTERS_AT_ONCE):
            some = decided[start : start + LETTERS_AT_ONCE]
            await self._letters.put([origin.letter_of(letter) for letter in some])

    def _count_unkept(self, keeping: asyncio.Task[None], letters: int) -> None:
        def kept(_: object) -> None:
            self._keeping.discard(keeping)
            self._unkept_letters -= letters
            self._letters_kept.set()

        self._keeping.add(keeping)
        self._unkept_letters += letters
        keeping.add_done_callback(kept)

    async def _wait_for_letters(self, more: int) -> None:
        while self._unkept_letters and self._unkept_letters + more > UNKEPT_LETTERS:
            self._letters_kept.clear()
            await self._letters_kept.wait()

    async def _keep_letters(self) -> None:
        """Before an epoch ends: what cannot be read again must not be lost with it on its way to the dead letters."""
        if self._keeping and not self.source.replays:
            await asyncio.wait(self._keeping)

    async def _decide(self, routing: Routing, entry: Unsettled) -> tuple[Batch, Decisions]:
        """What was decided about a batch, and the batch without what went back to where it came from."""
        began = time.perf_counter()
        batch = rest = entry.batch
        decisions = await self._route(routing, rest, entry)
        kept: Sequence[int] = range(len(batch))
        while decisions.rejections and self._rejects is not None:
            gone = self._send_back(self._rejects, routing, entry, kept, decisions.rejections)
            kept = [index for index in kept if index not in gone]
            rest = batch.select(kept)
            decisions = await self._route(routing, rest, entry)
        decisions.keep_rejected()
        routing.metrics.count(decisions, len(batch), time.perf_counter() - began)
        ruleset = routing.ruleset
        entry.fate = self._samples.of(ruleset.name).look(rest, decisions, self.name, ruleset)
        if routing.gates is not None:
            routing.gates.tell()
        return rest, decisions

    def _send_back(
        self,
        source: Rejects,
        routing: Routing,
        entry: Unsettled,
        kept: Sequence[int],
        rejections: Sequence[Rejection],
    ) -> set[int]:
        """Tell the source; the indices of all that goes with these rejections, whose indices count what was kept."""
        violations = {kept[rejection.index]: rejection.violations for rejection in rejections}
        gone = {*violations, *source.reject(entry.batch.token, violations)}
        routing.metrics.count_rejected(self.name, len(gone.intersection(kept)), rejections)
        return gone

    async def _route(self, routing: Routing, batch: Batch, entry: Unsettled) -> Decisions:
        ruleset, gates = routing.ruleset, routing.gates
        if gates is not None:
            if entry.crossing is not None:
                gates.forget(entry.crossing)
            entry.crossing = gates.cross(batch.arrived)
        decisions = ruleset.route(batch, self.name, 0, 0, crossing=entry.crossing)
        for start, stop in self._pace.slices(batch):
            if start:
                await asyncio.sleep(0)
            began = time.perf_counter()
            ruleset.route(batch, self.name, start, stop, decisions)
            self._pace.took(time.perf_counter() - began)
        return decisions

    # Lag

    async def _watch_lag(self) -> None:
        while True:
            await self._measure_lag()
            await asyncio.sleep(LAG_SECONDS)

    async def _measure_lag(self) -> None:
        try:
            async with asyncio.timeout(LAG_SECONDS):
                lags = await self.source.lag()
        except Exception as error:  # noqa: BLE001 - not knowing the lag is no reason to stop reading
            log.debug("source %s: lag is not known: %s", self.name, error)
            return
        self.lags = lags
        self._families.set_lag(self.name, lags)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in a group of groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
