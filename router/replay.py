"""Replay of dead letters: one of stage ``sink`` goes straight to that sink, any other through its flow.

Each letter is replayed once: it is deleted when every delivery of it is durable, or has become a letter of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat

from router.batch import Batch
from router.deadletters import DeadLetters, Letter
from router.letterbox import LetterBox
from router.load import Receipt, Way
from router.metrics import Metrics
from router.part import Origin, Part, parts_of
from rules.ruleset import Ruleset

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
IN_FLIGHT = 5_000
"""So many letters may be on their way at once: a sink that is away does not hold back the letters of the others."""

RulesetOf = Callable[[str, str], Ruleset | None]
"""The running ruleset of a flow for records of a source (of any source, when that one is gone)."""


class Replayer:
    """Replays the letters whose replay was requested. ``run`` is a daemon's task; ``drain`` a command's."""

    def __init__(
        self,
        store: DeadLetters,
        outlets: Mapping[str, Way],
        ruleset_of: RulesetOf,
        *,
        letters: LetterBox,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._outlets = outlets
        self._ruleset_of = ruleset_of
        self._letters = letters
        self._metrics = metrics
        self._in_flight = 0
        self._landed = asyncio.Event()

    async def run(self) -> None:
        """Replay what is requested, until cancelled; letters on their way then stay in the store."""
        async with asyncio.TaskGroup() as replays:
            while True:
                if not await self._launch(replays):
                    await asyncio.sleep(POLL_SECONDS)

    async def drain(self) -> int:
        """Replay everything that is requested now, and return how many letters that were."""
        total = 0
        async with asyncio.TaskGroup() as replays:
            while launched := await self._launch(replays):
                total += launched
        return total

    async def _launch(self, replays: asyncio.TaskGroup) -> int:
        while self._in_flight >= IN_FLIGHT:
            self._landed.clear()
            await self._landed.wait()
        claimed = await self._store.claim()
        groups: defaultdict[tuple[str, str, str, str], list[Letter]] = defaultdict(list)
        for letter in claimed:
            sink = letter.sink if letter.stage == "sink" else ""
            groups[letter.flow, letter.source, letter.version if sink else "", sink].append(letter)
        self._in_flight += len(claimed)
        for (flow, source, _, sink), letters in groups.items():
            replays.create_task(
                self._replay(flow, source, sink, letters), name=f"replay of {len(letters)} to {sink or flow}"
            )
        return len(claimed)

    async def _replay(self, flow: str, source: str, sink: str, letters: Sequence[Letter]) -> None:
        ids = [letter.id for letter in letters]
        try:
            gone = await (self._to_sink(sink, letters) if sink else self._through_flow(flow, source, letters))
            if gone:
                reasons = {
                    letter.id: ("replay_impossible", f"{gone}; before that: {letter.reason}: {letter.detail}")
                    for letter in letters
                }
                await self._store.fail(reasons)
            else:
                await self._store.complete(ids)
                self._metrics.replayed.labels(flow, "sink" if sink else "flow").inc(len(ids))
                log.info("%d dead letter(s) sent again to %s", len(ids), sink or f"flow {flow}")
        finally:
            self._store.release(ids)
            self._in_flight -= len(ids)
            self._landed.set()

    async def _to_sink(self, sink: str, letters: Sequence[Letter]) -> str:
        outlet = self._outlets.get(sink)
        if outlet is None:
            return f"the configuration has no sink {sink!r} any more"
        first = letters[0]
        origin = _origin(letters, flow=first.flow, source=first.source, version=first.version)
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

    async def _through_flow(self, flow: str, source: str, letters: Sequence[Letter]) -> str:
        ruleset = self._ruleset_of(flow, source)
        if ruleset is None:
            return f"the configuration has no flow {flow!r} any more"
        origin = _origin(letters, flow=flow, source=source, version=ruleset.version)
        decisions = ruleset.route(origin.batch, source)
        decisions.keep_rejected()  # who sent them has long had an answer
        self._metrics.flow(flow).count(decisions, 0.0)
        if decisions.letters:
            await self._letters.put([origin.letter_of(letter) for letter in decisions.letters])
        receipts: list[Receipt] = [await self._outlets[name].put(part) for name, part in parts_of(decisions, origin)]
        for receipt in receipts:
            await receipt
        return ""


def _origin(letters: Sequence[Letter], *, flow: str, source: str, version: str) -> Origin:
    """The letters' records as they were read."""
    names = {name for letter in letters for name in letter.attributes}
    batch = Batch(
        values=[letter.value for letter in letters],
        keys=[letter.key for letter in letters],
        headers=[letter.headers for letter in letters],
        times=[letter.record_time for letter in letters],
        attributes={name: [letter.attributes.get(name) for letter in letters] for name in sorted(names)},
    )
    return Origin(batch, flow=flow, source=source, version=version, attempts=[letter.attempts for letter in letters])


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
