"""The tests inside a rules file, run through the same compiled ruleset as production."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field
from msgspec.structs import replace

from rules.cel.errors import CelError
from rules.cel.temporal import Duration, Timestamp
from rules.cel.values import ABSENT, Opaque
from rules.codecs import Format, in_text
from rules.decisions import Delivery
from rules.differences import as_json, diff, readable, record_diff, record_differences
from rules.faults import Place
from rules.flow import DEAD_LETTER, DROP, REJECT, Expected, Flow, Given, Test
from rules.gates import Crossing, Gates
from rules.outgoing import refusals
from rules.plan import Headers
from rules.ruleset import Ruleset

if TYPE_CHECKING:
    from rules.explain import Explanation  # only failures are explained

_EXPLAINED: Final = 3
"""So many records of a failed test are explained."""
_SHOWN: Final = 3
"""So many records of those that nobody expected are shown."""


class Failure(Struct, frozen=True):
    """One sink (or ``drop``, ``dead_letter``, ``reject``) that did not get what a test expects.

    ``says`` is what is wrong as a whole, such as the number of records. ``differences`` say where records part from
    those expected, a sentence each; ``diff`` shows it, by lines that begin with ``-`` for what is expected, ``+`` for
    what came, and a space for what is around them. ``suspects`` number the given records that are to be looked at.
    """

    sink: str
    says: str
    differences: tuple[str, ...] = ()
    diff: tuple[str, ...] = ()
    suspects: tuple[int, ...] = ()

    def __str__(self) -> str:
        return "\n".join([f"{self.sink}: {self.says}", *(f"  {line}" for line in self.diff)])


class Explained(Struct, frozen=True):
    """A record of a failed test, by its number in ``given``, and all that was decided about it."""

    number: int
    explanation: Explanation


class TestResult(Struct, frozen=True):
    """How one test went. ``explained`` are the first of the records that went wrong."""

    __test__ = False  # pytest: this is no test class

    name: str
    place: Place
    failures: tuple[Failure, ...]
    explained: tuple[Explained, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every sink got what the test says, and no other sink anything."""
        return not self.failures

    def __str__(self) -> str:
        if self.passed:
            return f"{self.place}: {self.name}: passed"
        return "\n".join([f"{self.place}: {self.name}: failed", *map(str, self.failures)])


def run_tests(flow: Flow, rulesets: Mapping[str, Ruleset]) -> list[TestResult]:
    """Run a flow's tests. ``rulesets`` holds, by source, the flow as it is compiled for what that source decodes."""
    return [_run(test, flow, rulesets) for test in flow.tests]


class _Single(Struct):
    """One record, as a batch."""

    values: Sequence[bytes]
    keys: Sequence[bytes | None] | None = None
    headers: Sequence[Headers | None] | None = None
    times: Sequence[int | None] | None = None
    attributes: Mapping[str, Sequence[object]] = field(default_factory=dict)
    spoiled: Mapping[int, str] = field(default_factory=dict)
    arrived: int = field(default_factory=time.time_ns)
    is_ascii: bool = False
    fields: None = None


class _Came(Struct, frozen=True):
    """What a sink got, and the number of the given record that it got it of."""

    number: int
    record: Mapping[str, object]


_Got = dict[str, list[_Came]]


def _run(test: Test, flow: Flow, rulesets: Mapping[str, Ruleset]) -> TestResult:
    got: _Got = {}
    batches: list[tuple[_Single, str]] = []
    gates, arrived = Gates(flow), time.time_ns()
    for number, given in enumerate(test.given):
        source = given.source or flow.sources[0][0]
        arrived += given.after
        try:
            batches.append((_batch(given, rulesets[source], arrived), source))
        except CelError as error:
            failure = Failure("given", f"{_count(1)}, {as_json(given.event)}, cannot be made: {error}")
            return TestResult(test.name, test.place, (failure,))
        _route(number, *batches[-1], rulesets[source], gates.cross(arrived), got)
    failures = tuple(_failures(test, got))
    suspects = dict.fromkeys(number for failure in failures for number in failure.suspects)
    explained = _explained(flow, rulesets, batches, list(suspects)[:_EXPLAINED]) if suspects else ()
    return TestResult(test.name, test.place, failures, tuple(explained))


def _explained(
    flow: Flow, rulesets: Mapping[str, Ruleset], batches: Sequence[tuple[_Single, str]], suspects: Sequence[int]
) -> list[Explained]:
    """These records, each with the gates as they were when it came to them."""
    gates = Gates(flow)
    found = {
        number: rulesets[source].explain(batch, 0, source, gates.cross(batch.arrived), shows_all=True)
        for number, (batch, source) in enumerate(batches[: max(suspects) + 1])
    }
    return [Explained(number, found[number]) for number in suspects]


def _batch(given: Given, ruleset: Ruleset, arrived: int) -> _Single:
    """A given record, as a source would give it. Raises CelError for an event that cannot be written."""
    raw, attributes = ruleset.decode.given(given.event) if given.raw is None else (given.raw, {})
    return _Single(
        values=[raw],
        keys=[given.key],
        headers=[[(name, value.encode()) for name, value in given.headers.items()]],
        times=[None if given.time is None else Timestamp.parse(given.time).total_nanos],
        attributes={name: [value] for name, value in {**attributes, **given.meta}.items()},
        arrived=arrived,
    )


def _route(number: int, batch: _Single, source: str, ruleset: Ruleset, crossing: Crossing, got: _Got) -> None:
    """Add to ``got`` what each sink gets of one record."""

    def came(sink: str, record: Mapping[str, object]) -> None:
        got.setdefault(sink, []).append(_Came(number, record))

    decisions = ruleset.route(batch, source, crossing=crossing)
    for delivery in decisions.deliveries:
        sink = delivery.sink
        for record, rule in zip(_delivered(delivery, batch, ruleset.encodings[sink]), delivery.rules, strict=True):
            # As in the router, where what a record chose and `allow` does not permit is a dead letter.
            if refused := refusals(ruleset.allow[sink], record):
                detail = "; ".join(refused)
                came(DEAD_LETTER, record | {"stage": "sink", "reason": "not_allowed", "rule": rule, "detail": detail})
            else:
                came(sink, record)
    key = None if batch.keys is None else batch.keys[0]
    headers = {name: readable(value) for name, value in (batch.headers or [()])[0] or ()}
    whole = _record(batch, ruleset.decode) | {"key": key, "headers": headers}
    rejected = [rejection.letter for rejection in decisions.rejections]
    for end, letters in ((DEAD_LETTER, decisions.letters), (REJECT, rejected)):
        for letter in letters:
            why = {"stage": letter.stage, "reason": letter.reason, "rule": letter.rule, "detail": letter.detail}
            came(end, why | whole)
    for _ in range(sum(decisions.dropped.values())):
        came(DROP, whole)


def _delivered(delivery: Delivery, batch: _Single, encoding: Format) -> Iterator[dict[str, object]]:
    for place in range(len(delivery.indices)):
        value = delivery.values[place]
        settings = {name: column[place] for name, column in delivery.settings.items()}
        if isinstance(headers := settings.get("headers"), tuple):
            settings["headers"] = {name: readable(content) for name, content in headers}
        yield _record(replace(batch, values=[value]), encoding) | settings


def _record(batch: _Single, encoding: Format) -> dict[str, object]:
    """A payload as a test can ask for it: its event where it can be decoded, and its bytes."""
    try:
        return {"event": _told(encoding.codec.decode_at(batch, 0)), "raw": batch.values[0]}
    except (ValueError, RecursionError, CelError):
        return {"raw": batch.values[0]}


def _told(event: object) -> object:
    """An event as tests write it: times and keys as the texts that they are in JSON."""
    if isinstance(event, Mapping):
        return {key if isinstance(key, str) else in_text(key): _told(value) for key, value in event.items()}
    if isinstance(event, list):
        return list(map(_told, event))
    return str(event) if isinstance(event, Timestamp | Duration | Opaque) else event


def _failures(test: Test, got: _Got) -> Iterator[Failure]:
    for sink in dict.fromkeys([*test.then, *got]):
        failure = _failure(test, sink, test.then.get(sink), got.get(sink, []))
        if failure is not None:
            yield failure


def _failure(test: Test, sink: str, expected: Expected | None, came: Sequence[_Came]) -> Failure | None:
    numbers = [one.number for one in came]
    if expected is None:
        says = f"the test does not name it, so it must get nothing; it got {_count(len(came))}"
        lines = [line for one in came[:_SHOWN] for line in diff(ABSENT, one.record, exact=True)]
        return Failure(sink, says, (), tuple(lines), tuple(numbers)) if came else None
    wants = expected.records or ()
    wanted = expected.count or 0 if expected.records is None else len(wants)
    missing = [number for number in range(len(test.given)) if number not in numbers]
    suspects = [] if wanted == len(came) else numbers[wanted:] if wanted < len(came) else missing or numbers
    told: list[str] = []
    lines = []
    for place, (want, one) in enumerate(zip_longest(wants, came if wants else ())):
        if one is None or want is None:
            lines += diff(ABSENT if want is None else want, ABSENT if one is None else one.record, exact=True)
        elif found := list(record_differences(f"[{place}]", want, one.record, exact=test.exact)):
            told += found
            label = f"[{place}] " if len(wants) > 1 else ""
            lines += record_diff(label, want, one.record, exact=test.exact)
            suspects.append(one.number)
    if wanted == len(came) and not told:
        return None
    says = "not as expected" if wanted == len(came) else f"{wanted} expected, {_count(len(came))} came"
    return Failure(sink, says, tuple(told), tuple(lines), tuple(suspects))


def _count(number: int) -> str:
    return f"{number} record{'' if number == 1 else 's'}"
