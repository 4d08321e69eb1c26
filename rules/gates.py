"""Gates: what lets a record of a rule pass, or holds it back, because of records that came before it.

Nothing here looks at a clock, reads or writes: time is when a batch arrived, and the state is an object that whoever
routes a flow's batches owns. Whatever a record has done to it can be undone, because a record may be decided twice
(by the generated code and then by the exact interpreter), fail later in its way, or come again because it could not be
delivered.

- A *sample* has no state: it goes by a hash of the key.
- A *throttle* is a token bucket for each key, as a theoretical arrival time (the generic cell rate algorithm, ITU-T
  I.371), in whole numbers, so that what is given back is exactly what was taken.
- A *dedupe* holds a digest of each key, with the crossing of the batch that brought it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2s
from typing import Final, Protocol

from rules.cel.compile_runtime import MISSING
from rules.cel.errors import CelError
from rules.cel.temporal import Duration, Timestamp
from rules.cel.values import Opaque, Type, a_type, normal
from rules.flow import Dedupe, Flow, Gate, Sample, Throttle

DIGEST_BYTES: Final = 16
RESULTS: Final = ("passed", "held", "missing_key")
"""What a gate can do with a record."""
_FORGET_AT_ONCE: Final = 10_000
"""So many keys that nobody needs any more are forgotten with one batch at most, unless there are too many."""
_BACKWARDS: Final = 10 * 10**9
"""A batch that arrived so many nanoseconds before another one tells that the clock was set back."""


def canonical(value: object) -> bytes:
    """Bytes that are the same for two values just when CEL calls these equal, with any version of Python. Raises
    CelError for a value that cannot be a key."""
    if type(value) is str:
        return b"s" + value.encode("utf-8", "surrogatepass")
    value = normal(value)
    if isinstance(value, bool):
        return b"b1" if value else b"b0"
    if isinstance(value, int):  # a uint is one, too
        return b"n%d" % value
    if isinstance(value, float):
        return b"n%d" % int(value) if value.is_integer() else b"n" + repr(value).encode()
    if isinstance(value, bytes):
        return b"x" + value
    if isinstance(value, list):
        return b"l" + _framed(map(canonical, value))
    if isinstance(value, Mapping):
        return b"m" + _framed(sorted(_framed((canonical(key), canonical(value[key]))) for key in value))
    if value is None:
        return b"0"
    if isinstance(value, Timestamp | Duration):
        return (b"t%d" if isinstance(value, Timestamp) else b"d%d") % value.total_nanos
    if isinstance(value, Opaque):
        return f"o{value.cel_type} {value}".encode()
    if isinstance(value, Type):
        return f"y{value}".encode()
    raise CelError(f"a key cannot be {a_type(value)}")


def _framed(parts: Iterable[bytes]) -> bytes:
    return b"".join(b"%d:%b" % (len(part), part) for part in parts)


def digest(value: object) -> bytes:
    """The digest under which a key is kept."""
    return blake2s(canonical(value)).digest()[:DIGEST_BYTES]


class Turn(Protocol):
    """One gate while one batch crosses it. The lists hold the indices of its records, by what became of them."""

    passed: list[int]
    held: list[int]
    missing: list[int]

    def admits(self, index: int, key: object) -> bool:
        """Whether the record passes; one whose key is missing, or null, does. Raises CelError for what is no key."""

    def undo(self, key: bytes) -> None:
        """As if no record with this key had passed."""


class Crossing:
    """One batch on its way through the gates of its flow, and what it has done to them.

    - ``turns``: one for each gate.
    - ``is_delivered``: what it brought is safe, and not to be forgotten any more. Until then a key is only pending.
    - ``is_lost``: not all of it is; who leans on it does so in vain.
    - ``leans_on``: the crossings on whose pending keys records of this one were held.
    """

    __slots__ = ("_journal", "arrived", "is_delivered", "is_lost", "leans_on", "turns")

    def __init__(self, arrived: int, states: Sequence[_State] = ()) -> None:
        self.arrived = arrived
        self.is_delivered = not states
        self.is_lost = False
        self.leans_on: dict[Crossing, None] = {}
        self._journal: list[tuple[int, int, bytes]] = []
        self.turns: Sequence[Turn] = [state.turn(number, self) for number, state in enumerate(states)]

    def enter(self, index: int, gate: int, key: bytes) -> None:
        """A record has passed, and has left its mark at the gate."""
        self._journal.append((index, gate, key))

    def mark(self) -> int:
        """Where the record stands, to ``return_to`` it."""
        return len(self._journal)

    def return_to(self, mark: int) -> None:
        """Undo what the last record did since: a later gate of the same rule holds it. It counts as passed there."""
        while len(self._journal) > mark:
            _, gate, key = self._journal.pop()
            self.turns[gate].undo(key)

    def take_back(self, index: int) -> None:
        """Undo all that the record at ``index``, the last one, did, and count none of it."""
        self.return_to(self._first_of(index))
        for turn in self.turns:
            for found in (turn.passed, turn.held, turn.missing):
                while found and found[-1] == index:
                    found.pop()

    def bring_nothing(self, index: int) -> None:
        """The record at ``index``, the last one, is not delivered, and so it has brought no key to a dedupe."""
        first = self._first_of(index)
        kept = [entry for entry in self._journal[first:] if not isinstance(self.turns[entry[1]], _DedupeTurn)]
        for _, gate, key in self._journal[first:]:
            if isinstance(self.turns[gate], _DedupeTurn):
                self.turns[gate].undo(key)
        self._journal[first:] = kept

    def _first_of(self, index: int) -> int:
        first = len(self._journal)
        while first and self._journal[first - 1][0] == index:
            first -= 1
        return first

    def brought(self, only: Collection[int] | None = None) -> Iterator[tuple[int, bytes]]:
        """The gate and the digest of each key that these records have brought to a dedupe."""
        for index, gate, key in self._journal:
            if isinstance(self.turns[gate], _DedupeTurn) and (only is None or index in only):
                yield gate, key

    def settle(self, only: Collection[int] | None = None) -> None:
        """All that these records did stays: by default, that of all, whose keys are pending no longer."""
        self._journal = [] if only is None else [entry for entry in self._journal if entry[0] not in only]
        if only is None:
            self.is_delivered = True
            self.turns, self.leans_on = (), {}

    def forget(self, only: Collection[int] | None = None) -> None:
        """Undo what these records did, as they come again: by default all that are not settled, and then it is over."""
        for index, gate, key in reversed(self._journal):
            if only is None or index in only:
                self.turns[gate].undo(key)
        self.is_lost = self.is_lost or (only is None and not self.is_delivered)
        self.settle(only)


class _Turn:
    """What every gate keeps of one batch."""

    __slots__ = ("_crossing", "_number", "held", "missing", "passed")

    def __init__(self, number: int, crossing: Crossing) -> None:
        self.passed: list[int] = []
        self.held: list[int] = []
        self.missing: list[int] = []
        self._number = number
        self._crossing = crossing

    def undo(self, key: bytes) -> None:
        """Nothing to undo."""


class _SampleTurn(_Turn):
    __slots__ = ("_threshold",)

    def __init__(self, number: int, crossing: Crossing, threshold: bytes) -> None:
        super().__init__(number, crossing)
        self._threshold = threshold

    def admits(self, index: int, key: object) -> bool:
        if key is None or key is MISSING:
            self.missing.append(index)
            return True
        passes = blake2s(canonical(key)).digest() < self._threshold
        (self.passed if passes else self.held).append(index)
        return passes


class _ThrottleTurn(_Turn):
    __slots__ = ("_buckets", "_cost", "_now", "_one", "_spare")

    def __init__(self, number: int, crossing: Crossing, state: _ThrottleState) -> None:
        super().__init__(number, crossing)
        self._buckets = state.buckets
        self._cost = state.cost
        self._spare = state.spare
        self._now = state.now
        self._one = state.gate.key is None

    def admits(self, index: int, key: object) -> bool:
        if key is None or key is MISSING:
            self.missing.append(index)
            return True
        bucket = b"" if self._one else digest(key)
        buckets = self._buckets
        full_at = max(buckets.pop(bucket, 0), self._now)
        if full_at - self._now > self._spare:
            buckets[bucket] = full_at
            self.held.append(index)
            return False
        buckets[bucket] = full_at + self._cost
        self._crossing.enter(index, self._number, bucket)
        self.passed.append(index)
        return True

    def undo(self, key: bytes) -> None:
        if key in self._buckets:
            self._buckets[key] -= self._cost


class _DedupeTurn(_Turn):
    __slots__ = ("_keys", "_within")

    def __init__(self, number: int, crossing: Crossing, state: _DedupeState) -> None:
        super().__init__(number, crossing)
        self._keys = state.keys
        self._within = state.gate.within

    def admits(self, index: int, key: object) -> bool:
        if key is None or key is MISSING:
            self.missing.append(index)
            return True
        found, keys, crossing = digest(key), self._keys, self._crossing
        first = keys.get(found)
        if first is not None:
            if abs(crossing.arrived - first.arrived) < self._within:
                if not first.is_delivered and first is not crossing:
                    crossing.leans_on[first] = None
                self.held.append(index)
                return False
            del keys[found]  # so that it comes last again
        keys[found] = crossing
        crossing.enter(index, self._number, found)
        self.passed.append(index)
        return True

    def undo(self, key: bytes) -> None:
        if self._keys.get(key) is self._crossing:
            del self._keys[key]


class _SampleState:
    """``threshold``: hashes below it, byte by byte, are the share."""

    def __init__(self, gate: Sample) -> None:
        self.forgotten = 0
        drawn = int(gate.ratio * 2**64)
        self.threshold = drawn.to_bytes(8, "big") if gate.ratio < 1 else b"\xff" * 64

    def __len__(self) -> int:
        return 0

    def turn(self, number: int, crossing: Crossing) -> Turn:
        return _SampleTurn(number, crossing, self.threshold)


class _ThrottleState:
    """``buckets`` holds, by key, when the bucket is full again, in nanoseconds times ``scale``: what a record costs
    then is a whole number of them. Used last comes last."""

    def __init__(self, gate: Throttle) -> None:
        self.gate = gate
        self.forgotten = 0
        self.buckets: OrderedDict[bytes, int] = OrderedDict()
        self.scale = gate.count.numerator
        self.cost = gate.nanos * gate.count.denominator
        self.spare = (gate.burst - 1) * self.cost
        self.now = 0

    def __len__(self) -> int:
        return len(self.buckets)

    def turn(self, number: int, crossing: Crossing) -> Turn:
        now = crossing.arrived * self.scale
        if now < self.now - _BACKWARDS * self.scale:
            self.buckets.clear()  # full, all of them: else they would be empty until that time comes again
            self.now = now
        self.now = max(self.now, now)
        self._forget()
        return _ThrottleTurn(number, crossing, self)

    def _forget(self) -> None:
        buckets = self.buckets
        for _ in range(max(_FORGET_AT_ONCE, len(buckets) - self.gate.max_keys)):
            if not buckets:
                return
            key, full_at = next(iter(buckets.items()))
            if full_at > self.now:
                if len(buckets) <= self.gate.max_keys:
                    return
                self.forgotten += 1
            del buckets[key]


class _DedupeState:
    """``keys`` holds, by digest, the crossing that brought it. Brought last comes last."""

    def __init__(self, gate: Dedupe) -> None:
        self.gate = gate
        self.forgotten = 0
        self.keys: OrderedDict[bytes, Crossing] = OrderedDict()

    def __len__(self) -> int:
        return len(self.keys)

    def turn(self, number: int, crossing: Crossing) -> Turn:
        self._forget(crossing.arrived)
        return _DedupeTurn(number, crossing, self)

    def _forget(self, now: int) -> None:
        keys, within = self.keys, self.gate.within
        for _ in range(max(_FORGET_AT_ONCE, len(keys) - self.gate.max_keys)):
            if not keys:
                return
            key, first = next(iter(keys.items()))
            if abs(now - first.arrived) < within:
                if len(keys) <= self.gate.max_keys:
                    return
                self.forgotten += 1
            del keys[key]


_State = _SampleState | _ThrottleState | _DedupeState


def _state_of(gate: Gate) -> _State:
    if isinstance(gate, Sample):
        return _SampleState(gate)
    if isinstance(gate, Throttle):
        return _ThrottleState(gate)
    assert isinstance(gate, Dedupe)  # noqa: S101 - there are three
    return _DedupeState(gate)


class Gates:
    """The state of all gates of a flow, by number: in the order of the file.

    Batches cross them one after the other or interleaved, in slices, but never in two threads at once.
    """

    def __init__(self, flow: Flow, before: Gates | None = None) -> None:
        """``before`` are those of the same flow as it was: gates whose rule and settings are the same share their
        state with them."""
        known = {} if before is None else before.known
        self.known: dict[tuple[object, ...], _State] = {}
        self._kept: set[int] = set()
        for rule in flow.rules:
            for number, gate in enumerate(rule.gates):
                key = (rule.name, number, *gate.settings)
                if key in known:
                    self._kept.add(len(self.known))
                self.known[key] = known[key] if key in known else _state_of(gate)
        self._states = list(self.known.values())

    def cross(self, arrived: int) -> Crossing:
        """A batch that arrived at this time (Unix nanoseconds) begins to cross them."""
        return Crossing(arrived, self._states)

    def is_kept(self, gate: int) -> bool:
        """Whether it goes on with the state that it had before."""
        return gate in self._kept

    def remember(self, gate: int, arrived: int, keys: Iterable[bytes]) -> None:
        """Keys of a dedupe that were brought, and settled, before this state was made: the oldest first, which are
        forgotten first where there are more than ``max_keys``."""
        state = self._states[gate]
        if isinstance(state, _DedupeState):
            first = Crossing(arrived)
            for key in keys:
                state.keys.pop(key, None)
                state.keys[key] = first
                if len(state.keys) > state.gate.max_keys:
                    state.keys.popitem(last=False)

    def sizes(self) -> list[int]:
        """By gate, how many keys it holds."""
        return [len(state) for state in self._states]

    def forgotten(self) -> list[int]:
        """By gate, how many keys it has forgotten since the last call because they were more than ``max_keys``."""
        found = [state.forgotten for state in self._states]
        for state in self._states:
            state.forgotten = 0
        return found
