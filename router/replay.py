"""Replay of dead letters: one of stage ``sink`` goes straight to that sink, unless the job has all of them go through
their flows; any other through its flow.

Each letter is replayed once: it goes when every delivery of it is durable; where one failed, its new letter takes the
place of the old one in the same step.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import repeat

from msgspec import Struct
from msgspec.structs import replace

from router.audit import Audit
from router.batch import Batch
from router.deadletters import PAGE_LETTERS, DeadLetters
from router.errors import EndOfStream, NotConnected, StateError
from router.gatekeeper import Gatekeeper
from router.letter import Letter
from router.letterbox import LetterBox
from router.load import Way
from router.metrics import Metrics
from router.part import Origin, Part, parts_of
from router.replay_jobs import ReplayJobs
from rules.ruleset import Ruleset

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
IN_FLIGHT = 5_000
IN_FLIGHT_BYTES = 64 << 20
"""So much may be on its way at once: a sink that is away does not hold back the letters of the others."""
PACE_SECONDS = 0.1
"""Where a rate is set, letters go out this often."""

RulesetOf = Callable[[str, str], Ruleset | None]
"""The running ruleset of a flow for records of a source (of any source, when that one is gone)."""


class Pace(Struct):
    """How many letters of a job may go: ``rate`` a second, and never more at once than in a few rounds."""

    rate: float | None
    _saved: float = 1.0
    _since: float = -math.inf

    def allowed(self, now: float) -> int:
        """So many, at this moment (of a clock in seconds)."""
        if self.rate is None:
            return PAGE_LETTERS
        most = max(1.0, 3 * PACE_SECONDS * self.rate)
        if self._since > -math.inf:
            self._saved = min(most, self._saved + (now - self._since) * self.rate)
        self._since = now
        return min(PAGE_LETTERS, int(self._saved))

    def spend(self, letters: int) -> None:
        """So many went."""
        self._saved -= letters


class Replayer:
    """Replays the letters whose replay was requested. ``run`` is a daemon's task; ``drain`` a command's."""

    def __init__(
        self,
        store: DeadLetters,
        outlets: Mapping[str, Way],
        ruleset_of: RulesetOf,
        gates: Mapping[str, Gatekeeper],
        *,
        letters: LetterBox,
        metrics: Metrics,
        audit: Audit,
    ) -> None:
        self._store = store
        self._jobs = ReplayJobs(store)
        self._outlets = outlets
        self._ruleset_of = ruleset_of
        self._gates = gates
        self._letters = letters
        self._metrics = metrics
        self._audit = audit
        self._paces: dict[int, Pace] = {}
        self._in_flight = 0
        self._in_flight_bytes = 0
        self._landed = asyncio.Event()

    async def run(self) -> None:
        """Replay what is requested, until cancelled; letters on their way then stay in the store."""
        async with asyncio.TaskGroup() as replays:
            while True:
                launched = await self._launch(replays)
                await self._jobs.tell_ends(self._audit)
                if not launched:
                    await asyncio.sleep(POLL_SECONDS if not self._paces else PACE_SECONDS)

    async def drain(self, stop: asyncio.Event) -> None:
        """Replay everything that is requested now, until ``stop`` is set; what is on its way is replayed to its end."""
        async with asyncio.TaskGroup() as replays:
            while not stop.is_set():
                if not await self._launch(replays):
                    if not self._paces:
                        break
                    await asyncio.sleep(PACE_SECONDS)
        await self._jobs.tell_ends(self._audit)

    async def _launch(self, replays: asyncio.TaskGroup) -> int:
        """Send out what may go now; how many letters."""
        launched = 0
        await self._leave()
        waiting = self._jobs.waiting()
        self._paces = {each.job: self._paces.get(each.job) or Pace(each.rate) for each in waiting if each.rate}
        for each in waiting:
            while self._in_flight >= IN_FLIGHT or self._in_flight_bytes >= IN_FLIGHT_BYTES:
                self._landed.clear()
                await self._landed.wait()
            pace = self._paces.get(each.job) or Pace(each.rate)
            if allowed := pace.allowed(time.monotonic()):
                letters = await self._jobs.claim(each.job, allowed)
                pace.spend(len(letters))
                self._send(letters, replays, through_flow=each.through_flow)
                launched += len(letters)
        return launched

    async def _leave(self) -> None:
        try:
            await self._jobs.leave()
        except StateError as error:
            log.error("what was withdrawn from a replay cannot be written down yet: %s", error)

    def _send(self, claimed: Sequence[Letter], replays: asyncio.TaskGroup, *, through_flow: bool) -> None:
        groups: defaultdict[tuple[str, str, str, str], list[Letter]] = defaultdict(list)
        for letter in claimed:
            sink = letter.sink if letter.stage == "sink" and not through_flow else ""
            groups[letter.flow, letter.source, letter.version if sink else "", sink].append(letter)
        self._count(claimed, 1)
        for (flow, source, _, sink), letters in groups.items():
            replays.create_task(
                self._replay(flow, source, sink, letters), name=f"replay of {len(letters)} to {sink or flow}"
            )

    async def _replay(self, flow: str, source: str, sink: str, letters: Sequence[Letter]) -> None:
        ids = [letter.id for letter in letters]
        failed: list[Letter] = []
        try:
            gone = await (
                self._to_sink(sink, letters, failed) if sink else self._through_flow(flow, source, letters, failed)
            )
            if gone:
                await self._store.add_many([_impossible(letter, gone) for letter in letters], replayed=ids)
                return
            originals = {letter.id: letter.original for letter in letters}
            for letter in failed:
                letter.original = originals.get(letter.replaces)
            await self._letters.put(failed, replayed=ids)
            self._metrics.replayed.labels(flow, "sink" if sink else "flow").inc(len(ids))
            log.info("%d dead letter(s) sent again to %s", len(ids), sink or f"flow {flow}")
        except (EndOfStream, NotConnected) as end:
            log.error("%d dead letter(s) wait on, as %s", len(ids), end)
            await asyncio.sleep(POLL_SECONDS)  # in which the daemon ends
        finally:
            self._store.release(ids)
            self._count(letters, -1)
            self._landed.set()

    def _count(self, letters: Sequence[Letter], sign: int) -> None:
        self._in_flight += sign * len(letters)
        self._in_flight_bytes += sign * sum(len(letter.value) + len(letter.out_value or b"") for letter in letters)

    async def _to_sink(self, sink: str, letters: Sequence[Letter], failed: list[Letter]) -> str:
        outlet = self._outlets.get(sink)
        if outlet is None:
            return f"the configuration has no sink {sink!r} any more"
        first = letters[0]
        origin = _origin(letters, failed, flow=first.flow, source=first.source, version=first.version)
        self._metrics.routed.labels(first.flow, sink).inc(len(letters))
        receipt = await outlet.put(
            Part(
                batch=_outgoing(letters),
                origin=origin,
                indices=range(len(letters)),
                rules=[letter.rule for letter in letters],
            )
        )
        await receipt
        return ""

    async def _through_flow(self, flow: str, source: str, letters: Sequence[Letter], failed: list[Letter]) -> str:
        ruleset = self._ruleset_of(flow, source)
        if ruleset is None:
            return f"the configuration has no flow {flow!r} any more"
        origin = _origin(letters, failed, flow=flow, source=source, version=ruleset.version)
        gates, outlets = self._gates.get(flow), dict(self._outlets)  # which a reload changes together
        crossing = None if gates is None else gates.cross(origin.batch.arrived)
        try:
            decisions = ruleset.route(origin.batch, source, crossing=crossing)
            decisions.keep_rejected()  # who sent them has long had an answer
            self._metrics.flow(flow).count(decisions, len(letters), 0.0)
            failed += [origin.letter_of(letter) for letter in decisions.letters]
            receipts = [await outlets[name].put(part) for name, part in parts_of(decisions, origin)]
            leaning = [] if gates is None or crossing is None else gates.follow(crossing, receipts)
            for receipt in (*receipts, *leaning):
                await receipt
            if gates is not None and crossing is not None:
                remember = partial(gates.remember, crossing)
                await self._letters.state.insist(remember, f"the keys of {len(letters)} dead letter(s) cannot be kept")
        except BaseException:
            if gates is not None and crossing is not None:
                gates.forget(crossing)
            raise
        return ""


def _impossible(letter: Letter, why: str) -> Letter:
    """What becomes of a letter that there is no way for."""
    return replace(
        letter,
        time=time.time_ns(),
        reason="replay_impossible",
        detail=f"{why}; before that: {letter.reason}: {letter.detail}",
        attempts=letter.attempts + 1,
        replaces=letter.id,
    )


def _origin(letters: Sequence[Letter], failed: list[Letter], *, flow: str, source: str, version: str) -> Origin:
    """The letters' records as they were read."""
    names = {name for letter in letters for name in letter.attributes}
    batch = Batch(
        values=[letter.value for letter in letters],
        keys=[letter.key for letter in letters],
        headers=[letter.headers for letter in letters],
        times=[letter.record_time for letter in letters],
        attributes={name: [letter.attributes.get(name) for letter in letters] for name in sorted(names)},
    )
    return Origin(
        batch,
        flow=flow,
        source=source,
        version=version,
        ids=[letter.id for letter in letters],
        attempts=[letter.attempts for letter in letters],
        held=failed,
    )


def _outgoing(letters: Sequence[Letter]) -> Batch:
    """What the letters were to deliver."""
    names = {name for letter in letters for name in letter.out_settings}
    keys = [letter.out_key for letter in letters]
    headers = [letter.out_headers for letter in letters]
    return Batch(
        values=[letter.value if letter.out_value is None else letter.out_value for letter in letters],
        keys=None if keys == list(repeat(None, len(keys))) else keys,
        headers=None if headers == list(repeat(None, len(headers))) else headers,
        settings={name: [letter.out_settings.get(name) for letter in letters] for name in sorted(names)},
    )
