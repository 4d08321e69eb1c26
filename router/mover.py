"""Moves dead letters from the state folder to a sink, as JSON.

They are in the store first, so a sink that is away holds nothing up and loses nothing; each goes when the sink has it.
What the sink refuses stays in the store, and is offered to it once more when its settings change or the daemon starts
again: it never becomes a letter about a letter.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from router.batch import Batch
from router.deadletters import DeadLetters
from router.errors import EndOfStream, NotConnected
from router.letter import Letter, to_bytes
from router.load import Receipt
from router.metrics import Metrics
from router.moves import NAME, Moves
from router.outlet import Outlet
from router.part import Origin, parts_of
from rules import cel
from rules.cel.surroundings import Surroundings
from rules.codecs import Json
from rules.faults import Place
from rules.flow import DEAD_LETTER, Contract, Expr, Flow, Otherwise, Rule, Target, Template, Value
from rules.ruleset import Ruleset, SinkFacts, compile_flow

log = logging.getLogger(__name__)

FULL_SECONDS = 0.25
"""So long a sink whose queue is full, and whose letters are not to wait for it, is left alone."""
AGAIN_SECONDS = 60.0
"""So often everything is looked through: what waited for its replay may not wait any more."""
AWAY_SECONDS = 1.0
"""So long it may take to see that a sink is away, when no more comes."""
HEADERS = ("stage", "flow", "reason")


class Mover:
    """Moves the letters of a store. ``run`` is its task; ``rulesets`` say how letters go out, by sink;
    ``detail``, what may be shown of why one did not."""

    def __init__(
        self,
        store: DeadLetters,
        moves: Moves,
        outlets: Mapping[str, Outlet],
        rulesets: Mapping[str, Ruleset],
        *,
        metrics: Metrics,
        detail: Callable[[Letter], str],
    ) -> None:
        self._store = store
        self._detail = detail
        self._moves = moves
        self._outlets = outlets
        self._rulesets = rulesets
        self._metrics = metrics
        self._one_at_a_time = {sink: asyncio.Lock() for sink in moves.sinks}

    async def run(self) -> None:
        """Move what there is and what comes, until cancelled; letters on their way then stay in the store."""
        if not self._moves.sinks:
            return
        await self._store.unstick()
        async with asyncio.TaskGroup() as group:
            for sink in self._moves.sinks:
                group.create_task(self._follow(sink), name=f"dead letters to {sink}")

    async def finish(self) -> None:
        """Move what there is, to sinks that are not away."""
        await asyncio.gather(*map(self._finish, self._moves.sinks))

    async def _finish(self, sink: str) -> None:
        after: int | None = 0
        while after is not None and self._outlets[sink].connected:
            moving = asyncio.create_task(self._move(sink, after), name=f"last dead letters to {sink}")
            try:
                while self._outlets[sink].connected and not moving.done():
                    await asyncio.wait([moving], timeout=AWAY_SECONDS)
                after = moving.result() if moving.done() else None
            finally:
                moving.cancel()

    async def _follow(self, sink: str) -> None:
        after, looked = 0, time.monotonic()
        while True:
            news = self._store.news
            reached = await self._move(sink, after)
            if reached is not None:
                after = reached
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(looked + AGAIN_SECONDS - time.monotonic()):
                    await news.wait()
                    continue
            after, looked = 0, time.monotonic()

    async def _move(self, sink: str, after: int) -> int | None:
        """Move some letters with ids above ``after``; the id to go on from, None when none waits."""
        async with self._one_at_a_time[sink]:
            return await self._move_some(sink, after)

    async def _move_some(self, sink: str, after: int) -> int | None:
        letters = await self._store.movable(self._moves, sink, after)
        if not letters:
            return None
        try:
            try:
                failed = await self._write(sink, letters)
            except (EndOfStream, NotConnected):  # the sink has ended, or a reload has taken it away
                return None
            full = {letter.replaces for letter in failed if letter.reason == "queue_full"}
            stuck = {letter.replaces: letter for letter in failed if letter.replaces not in full}
            moved = [letter.id for letter in letters if letter.id not in stuck and letter.id not in full]
            await self._store.state.insist(
                lambda: self._store.moved(moved, stuck),
                f"{len(moved)} dead letter(s) that were moved cannot be deleted",
            )
        finally:
            self._store.release(letter.id for letter in letters)
        self._count(sink, letters, moved, stuck)
        if full:
            await asyncio.sleep(FULL_SECONDS)
            return min(full) - 1
        return letters[-1].id

    async def _write(self, sink: str, letters: Sequence[Letter]) -> list[Letter]:
        """Deliver letters; what became of those that the sink did not take."""
        failed: list[Letter] = []
        batch = Batch(
            values=[to_bytes(letter) for letter in letters],
            keys=[letter.key for letter in letters],
            headers=[letter.headers for letter in letters],
            times=[letter.time for letter in letters],
        )
        ids = [letter.id for letter in letters]
        origin = Origin(batch, flow=NAME, source=NAME, version="", ids=ids, held=failed)
        decisions = self._rulesets[sink].route(batch, NAME)
        failed += [origin.letter_of(letter) for letter in decisions.letters]
        receipts: list[Receipt] = [await self._outlets[name].put(part) for name, part in parts_of(decisions, origin)]
        self._outlets[sink].hurry()
        for receipt in receipts:
            await receipt
        return failed

    def _count(self, sink: str, letters: Sequence[Letter], moved: Sequence[int], stuck: Mapping[int, Letter]) -> None:
        flows = {letter.id: letter.flow for letter in letters}
        for flow, many in Counter(flows[id_] for id_ in moved).items():
            self._metrics.moved.labels(flow, sink).inc(many)
        for flow, many in Counter(flows[id_] for id_ in stuck).items():
            self._metrics.stuck.labels(flow, sink).inc(many)
        if stuck:
            id_, letter = next(iter(stuck.items()))
            log.error(
                "%d dead letter(s) stay in the state folder, since sink %s does not take them, such as %d: %s: %s",
                *(len(stuck), sink, id_, letter.reason, self._detail(letter)),
            )


def letters_ruleset(
    facts: SinkFacts, configured: Collection[str], variables: Mapping[str, object], around: Surroundings
) -> Ruleset:
    """How letters go out to a sink: as its settings say, which see a letter as ``event``. Where it is not
    ``configured``, each has the key of its record, and headers that say what it is about."""
    place = Place(NAME)
    settings: dict[str, Value] = {
        "key": _template("has(meta.key) ? meta.key : null", place),
        "headers": {f"sluiceway-{name}": _template(f"event.{name}", place) for name in HEADERS},
    }
    target = Target(facts.name, place, {name: value for name, value in settings.items() if name not in configured})
    dead = (Target(DEAD_LETTER, place),)
    flow = Flow(
        name=NAME,
        place=place,
        sources=(),
        contract=Contract(),
        lets={},
        rules=(Rule(name=NAME, place=place, to=(target,)),),
        otherwise=Otherwise(undecodable=dead, invalid=dead, error=dead),
        tests=(),
        version="",
    )
    return compile_flow(flow, decode=Json(), sinks={facts.name: facts}, vars=variables, models={}, around=around)


def _template(expression: str, place: Place) -> Template:
    return Template((Expr(cel.compile(expression), place),), place)
