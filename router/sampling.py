"""Some of the records that flow, with what was decided about each: what the daemon keeps of every flow, and what it
hands to those who tap one.

The data path never waits for any of it. With nobody looking, a batch costs one look at the clock; twice a second a few
records are kept. A tap is given a bounded number of records a second, whatever flows by, and loses the oldest when it
does not take them away. All of it is in memory: at most ``KEPT_RECORDS`` and ``KEPT_BYTES`` for each flow, twice so
much once it was tapped, so that what was shown can be asked for; and
``WAITING_RECORDS`` for each of at most ``MAX_TAPS`` taps, of records of at most ``LONGEST`` bytes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count

from msgspec import Struct, field

from router.batch import Batch
from router.errors import SluicewayError
from router.fate import Fate, Loss
from rules.codecs import Format
from rules.columns import Constant, Lines, payloads_at
from rules.decisions import Decisions
from rules.flow import DEAD_LETTER, DROP
from rules.ruleset import Ruleset

log = logging.getLogger(__name__)

KEPT_RECORDS = 100
KEPT_BYTES = 1 << 20
LONGEST = 64 << 10
"""Of a record that is longer, only how long it is is kept."""
MAX_TAPS = 8
WAITING_RECORDS = 256
KEEP_SECONDS = 0.5
KEPT_AT_ONCE = 4
_BURST_SECONDS = 0.25
_LOOK_SECONDS = 0.1
"""A tap of large batches looks at one no more often: at so many records at once as it may be given in that time."""
_OVERHEAD = 500
"""About so many bytes does a kept record take besides its payload."""


class TooManyTaps(SluicewayError):
    """There are ``MAX_TAPS`` already."""


class End(Struct, frozen=True):
    """One of the ends that was decided for a record: ``to`` a sink, ``drop`` or ``dead_letter``, by ``rule`` (or a part
    of ``otherwise``, or nothing where the record came to no rule).

    ``settings`` are what the delivery chose of the sink's; ``changed``: it does not go out as it came, but as ``out``,
    which is None where it is longer than ``LONGEST``. ``reason`` and ``detail`` are those of a dead letter.
    """

    to: str
    rule: str
    settings: Mapping[str, object] = field(default_factory=dict)
    changed: bool = False
    reason: str = ""
    detail: str = ""
    out: bytes | None = None


class Sampled(Struct, frozen=True):
    """A record, alone in its ``batch``, and what was decided about it, at ``time`` (Unix seconds), by the ruleset of
    ``version``. Of one that is longer than ``LONGEST`` the batch holds no payload; ``size`` is the payload's. No other
    of a flow has its ``id``. ``index`` is where it was in the batch that has this ``fate``."""

    id: int
    time: float
    flow: str
    source: str
    version: str
    decode: Format
    batch: Batch
    size: int
    ends: Sequence[End]
    index: int
    fate: Fate

    @property
    def is_whole(self) -> bool:
        """Whether the batch holds the payload."""
        return self.size <= LONGEST

    def losses(self) -> list[Loss | None]:
        """Of each of the ends, why its delivery became a dead letter; None where it has not."""
        before: Counter[str] = Counter()
        found: list[Loss | None] = []
        for end in self.ends:
            found.append(self.fate.losses.get((self.index, end.to, before[end.to])))
            before[end.to] += 1
        return found


class Tap:
    """What one listener gets of a flow: at most ``rate`` records a second. A listener that ends must be ``closed``."""

    def __init__(self, flow: FlowSamples, rate: float) -> None:
        self.ended = False
        self.skipped = 0
        """How many records went by since somebody last took it to zero."""
        self._flow = flow
        self._rate = rate
        self._allowed = 1.0
        self._at = time.monotonic()
        self._waiting: deque[Sampled] = deque()
        self._news = asyncio.Event()

    async def take(self, gather: float, seconds: float) -> list[Sampled]:
        """What waits, oldest first: ``gather`` seconds after there is any, or nothing after so many ``seconds``, or
        when it has ended."""
        self._news.clear()
        if not self._waiting and not self.ended:
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                return []
        if not self.ended:
            await asyncio.sleep(gather)
        found = list(self._waiting)
        self._waiting.clear()
        return found

    def allowance(self, records: int) -> int:
        """How many of so many records it may be given now: all, or so many that a look at the batch is worth it."""
        now = time.monotonic()
        most = max(1.0, self._rate * _BURST_SECONDS)
        self._allowed = min(most, self._allowed + (now - self._at) * self._rate)
        self._at = now
        allowed = min(int(self._allowed), records)
        return allowed if allowed >= min(records, self._rate * _LOOK_SECONDS) else 0

    def give(self, some: Sequence[Sampled], records: int) -> None:
        """These, of so many that went by."""
        self._allowed -= len(some)
        self._waiting.extend(some)
        lost = max(0, len(self._waiting) - WAITING_RECORDS)
        for _ in range(lost):
            self._waiting.popleft()
        self.skipped += records - len(some) + lost
        if some:
            self._news.set()

    def end(self) -> None:
        """Nothing more comes."""
        self.ended = True
        self._news.set()

    def close(self) -> None:
        """Nobody listens any more. Idempotent."""
        self.end()
        self._flow.taps.discard(self)


class _Kept:
    """The last records of a flow, within ``KEPT_RECORDS`` and ``KEPT_BYTES``."""

    def __init__(self) -> None:
        self.records: deque[Sampled] = deque()
        self._bytes = 0

    def add(self, sampled: Sampled) -> None:
        self.records.append(sampled)
        self._bytes += _size(sampled)
        while len(self.records) > KEPT_RECORDS or self._bytes > KEPT_BYTES:
            self._bytes -= _size(self.records.popleft())


class FlowSamples:
    """The records of one flow."""

    def __init__(self, name: str) -> None:
        self.taps: set[Tap] = set()
        self._name = name
        self._kept = _Kept()
        self._tapped = _Kept()
        self._next = 0.0
        # Those of an earlier run of the daemon do not come again, so that a link leads to its record or to none.
        self._ids = count(time.time_ns() // 1_000_000)

    def look(self, batch: Batch, decisions: Decisions, source: str, ruleset: Ruleset) -> Fate | None:
        """A batch was decided about. Takes what is wanted of it, and never fails because of a record. Where it has
        taken any, who settles the batch is to say so in what it gives."""
        if not self.taps and time.monotonic() < self._next:
            return None
        fate = Fate()
        try:
            self._take(batch, decisions, source, ruleset, fate)
        except Exception:  # what is there to be looked at must not cost a record
            log.exception("flow %s: no samples of a batch could be taken", self._name)
        return fate

    def _take(self, batch: Batch, decisions: Decisions, source: str, ruleset: Ruleset, fate: Fate) -> None:
        many = len(batch)
        for tap in list(self.taps):
            indices = _some(batch.values, tap.allowance(many))
            some = list(self._taken(indices, batch, decisions, source, ruleset, fate))
            tap.give(some, many)
            for sampled in some:
                self._tapped.add(sampled)
        if many and time.monotonic() >= self._next:
            self._next = time.monotonic() + KEEP_SECONDS
            indices = _some(batch.values, KEPT_AT_ONCE)
            for sampled in self._taken(indices, batch, decisions, source, ruleset, fate):
                self._kept.add(sampled)

    def kept(self) -> list[Sampled]:
        """Those that are kept, oldest first."""
        return list(self._kept.records)

    def find(self, id_: int) -> Sampled | None:
        """The record of this id: one that is kept, or one of the last that a tap was given."""
        known = (*self._kept.records, *self._tapped.records)
        return next((sampled for sampled in known if sampled.id == id_), None)

    def _taken(
        self, indices: Sequence[int], batch: Batch, decisions: Decisions, source: str, ruleset: Ruleset, fate: Fate
    ) -> Iterator[Sampled]:
        if not indices:
            return
        now, payloads = time.time(), payloads_at(batch.values, indices)
        ends = _ends(decisions, dict(zip(indices, payloads, strict=True)))
        rest = replace(batch, values=Constant(b"", len(batch)), leases=None)
        for index, payload in zip(indices, payloads, strict=True):
            size, alone = len(payload), rest.select([index])
            alone.values = [payload if size <= LONGEST else b""]
            id_, version, decode = next(self._ids), ruleset.version, ruleset.decode
            fate.sampled.add(index)
            yield Sampled(id_, now, self._name, source, version, decode, alone, size, ends[index], index, fate)


class Samples:
    """The samples of a daemon's flows."""

    def __init__(self) -> None:
        self._flows: dict[str, FlowSamples] = {}

    def of(self, flow: str) -> FlowSamples:
        """Those of one flow."""
        if flow not in self._flows:
            self._flows[flow] = FlowSamples(flow)
        return self._flows[flow]

    def sample(self, flow: str) -> list[Sampled]:
        """What is kept of a flow, oldest first; nothing of one that is not there."""
        found = self._flows.get(flow)
        return [] if found is None else found.kept()

    def retain(self, flows: Collection[str]) -> None:
        """Only these flows are there from now on. Who taps another one is told that it has ended."""
        for gone in self._flows.keys() - set(flows):
            for tap in self._flows.pop(gone).taps:
                tap.end()

    def find(self, flow: str, id_: int) -> Sampled | None:
        """The record of a flow with this id, while it is kept."""
        found = self._flows.get(flow)
        return None if found is None else found.find(id_)

    def tap(self, flow: str, rate: float) -> Tap:
        """A new tap, of at most so many records a second. Raises TooManyTaps."""
        if sum(len(known.taps) for known in self._flows.values()) >= MAX_TAPS:
            raise TooManyTaps(f"there are {MAX_TAPS} taps already; end one of them")
        tap = Tap(self.of(flow), rate)
        self.of(flow).taps.add(tap)
        return tap

    def close(self) -> None:
        """End every tap."""
        for flow in self._flows.values():
            for tap in flow.taps:
                tap.end()


def _some(values: Sequence[bytes], wanted: int) -> Sequence[int]:
    """The indices of so many records, ascending: spread by chance over a batch, or over one block of its lines, since
    only who looks at many records is to pay for a look at many blocks."""
    start, stop = 0, len(values)
    if isinstance(values, Lines) and wanted:
        start, stop = values.span_of(random.randrange(stop))  # noqa: S311 - a sample
        if stop - start < wanted:
            start, stop = 0, len(values)
    if wanted >= stop - start:
        return range(start, stop)
    return sorted(random.sample(range(start, stop), wanted))


def _ends(decisions: Decisions, payloads: Mapping[int, bytes]) -> dict[int, list[End]]:
    """What was decided for each of these records, of which the payloads are given by index, ascending."""
    ends: dict[int, list[End]] = {index: [] for index in payloads}
    for delivery in decisions.deliveries:
        found = [(index, place) for index in payloads for place in _places(delivery.indices, index)]
        places = [place for _, place in found]
        outgoing = payloads_at(delivery.values, places) if delivery.changed else None
        for number, (index, place) in enumerate(found):
            out = None if outgoing is None or outgoing[number] == payloads[index] else outgoing[number]
            chosen = {name: column[place] for name, column in delivery.settings.items() if column[place] is not None}
            shown = None if out is None or len(out) > LONGEST else bytes(out)
            ends[index].append(End(delivery.sink, delivery.rules[place], chosen, out is not None, out=shown))
    for label, dropped in decisions.drops.items():
        for index in payloads:
            if len(_places(dropped, index)):
                ends[index].append(End(DROP, decisions.plan.labels[label]))
    for letter in decisions.letters:
        if letter.index in ends:
            ends[letter.index].append(End(DEAD_LETTER, letter.rule or "", reason=letter.reason, detail=letter.detail))
    return ends


def _places(indices: Sequence[int], index: int) -> range:
    """Where an index stands in an ascending list."""
    first = bisect_left(indices, index)
    last = first
    while last < len(indices) and indices[last] == index:
        last += 1
    return range(first, last)


def _size(sampled: Sampled) -> int:
    batch = sampled.batch
    keys = [key for key in batch.keys or () if key is not None]
    headers = [content for own in batch.headers or () for _, content in own or ()]
    outs = [end.out for end in sampled.ends if end.out is not None]
    return _OVERHEAD + sum(map(len, [*batch.values, *keys, *headers, *outs]))
