"""The tests inside a rules file, run through the same compiled ruleset as production."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rules.cel.errors import CelError
from rules.cel.temporal import Duration, Timestamp
from rules.cel.values import Opaque, equal
from rules.codecs import Format, in_text, write_json
from rules.decisions import Delivery
from rules.faults import Place
from rules.flow import DEAD_LETTER, DROP, Expected, Flow, Given, Test
from rules.plan import Headers
from rules.ruleset import Ruleset


@dataclass(frozen=True, slots=True)
class Failure:
    """One sink (or ``drop``, or ``dead_letter``) that did not get what a test expects.

    ``expected`` and ``got`` are JSON; ``differences`` say where the two part.
    """

    sink: str
    expected: str
    got: str
    differences: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.sink}:", f"  expected  {self.expected}", f"  got       {self.got}"]
        return "\n".join(lines + [f"  {difference}" for difference in self.differences])


@dataclass(frozen=True, slots=True)
class TestResult:
    """How one test went."""

    __test__ = False  # pytest: this is no test class

    name: str
    place: Place
    failures: tuple[Failure, ...]

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
    return [TestResult(test.name, test.place, tuple(_failures(test, flow, rulesets))) for test in flow.tests]


@dataclass(slots=True)
class _Single:
    """One record, as a batch."""

    values: Sequence[bytes]
    keys: Sequence[bytes | None] | None = None
    headers: Sequence[Headers | None] | None = None
    times: Sequence[int | None] | None = None
    attributes: Mapping[str, Sequence[object]] = field(default_factory=dict)
    spoiled: Mapping[int, str] = field(default_factory=dict)
    arrived: int = field(default_factory=time.time_ns)


_Got = dict[str, list[dict[str, object]]]
_ABSENT = object()


def _failures(test: Test, flow: Flow, rulesets: Mapping[str, Ruleset]) -> Iterator[Failure]:
    got: _Got = {}
    for given in test.given:
        source = given.source or flow.sources[0][0]
        try:
            _route(given, source, rulesets[source], got)
        except CelError as error:
            yield Failure("given", "a record", _json(given.event), (f"{error}",))
            return
    for sink in dict.fromkeys([*test.then, *got]):
        records = got.get(sink, [])
        expected = test.then.get(sink)
        differences = tuple(_differences(expected, records, exact=test.exact))
        if differences:
            yield Failure(sink, _expectation(expected), _json(records), differences)


def _route(given: Given, source: str, ruleset: Ruleset, got: _Got) -> None:
    """Add to ``got`` what each sink gets of one record."""
    raw, attributes = ruleset.decode.given(given.event) if given.raw is None else (given.raw, {})
    batch = _Single(
        values=[raw],
        keys=[given.key],
        headers=[[(name, value.encode()) for name, value in given.headers.items()]],
        times=[None if given.time is None else Timestamp.parse(given.time).total_nanos],
        attributes={name: [value] for name, value in {**attributes, **given.meta}.items()},
    )
    decisions = ruleset.route(batch, source)
    for delivery in decisions.deliveries:
        name = ruleset.encodings[delivery.sink]
        got.setdefault(delivery.sink, []).extend(_delivered(delivery, batch, name))
    whole = _record(batch, ruleset.decode) | {"key": given.key, "headers": dict(given.headers)}
    for letter in decisions.letters:
        why = {"stage": letter.stage, "reason": letter.reason, "rule": letter.rule, "detail": letter.detail}
        got.setdefault(DEAD_LETTER, []).append(why | whole)
    for _ in range(sum(decisions.dropped.values())):
        got.setdefault(DROP, []).append(dict(whole))


def _delivered(delivery: Delivery, batch: _Single, encoding: Format) -> Iterator[dict[str, object]]:
    for place in range(len(delivery.indices)):
        value = batch.values[0] if delivery.values is None else delivery.values[place]
        settings = {name: column[place] for name, column in delivery.settings.items()}
        if isinstance(headers := settings.get("headers"), tuple):
            settings["headers"] = {name: _readable(content) for name, content in headers}
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


def _differences(expected: Expected | None, records: Sequence[dict[str, object]], *, exact: bool) -> Iterator[str]:
    if expected is None:
        if records:
            yield f"the test does not name it, so it must get nothing; it got {_count(len(records))}"
        return
    wanted = expected.count if expected.records is None else len(expected.records)
    if wanted != len(records):
        yield f"{wanted} expected, {_count(len(records))} came"
    for place, (want, record) in enumerate(zip(expected.records or (), records, strict=False)):
        for name, value in want.items():
            yield from _compare(f"[{place}].{name}", value, record.get(name, _ABSENT), exact=exact and name == "event")


def _compare(place: str, want: object, have: object, *, exact: bool) -> Iterator[str]:
    """Where a value is not what is wanted; maps may have more fields unless ``exact``."""
    have = _readable(have) if isinstance(have, bytes) and not _is_base64(want) else have
    if have is _ABSENT:
        yield f"{place}: {_json(want)} expected, nothing there"
    elif isinstance(want, Mapping) and isinstance(have, Mapping):
        for name, value in want.items():
            yield from _compare(f"{place}.{name}", value, have.get(name, _ABSENT), exact=exact)
        for name in have if exact else ():
            if name not in want:
                yield f"{place}.{name}: nothing expected, {_json(have[name])} there"
    elif isinstance(want, list) and isinstance(have, list) and len(want) == len(have):
        for index, (value, own) in enumerate(zip(want, have, strict=True)):
            yield from _compare(f"{place}[{index}]", value, own, exact=exact)
    elif not _same(want, have):
        yield f"{place}: {_json(want)} expected, {_json(have)} there"


def _same(want: object, have: object) -> bool:
    if _is_base64(want) and isinstance(want, Mapping) and isinstance(have, bytes):
        return bool(want["base64"] == base64.b64encode(have).decode())
    return equal(want, have)


def _is_base64(value: object) -> bool:
    return isinstance(value, Mapping) and value.keys() == {"base64"}


def _readable(value: bytes) -> object:
    """Bytes as tests write them: text where they are valid UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _expectation(expected: Expected | None) -> str:
    if expected is None:
        return "nothing"
    return _count(expected.count or 0) if expected.records is None else _json(list(expected.records))


def _count(number: int) -> str:
    return f"{number} record{'' if number == 1 else 's'}"


def _json(value: object) -> str:
    """JSON for people; what a test can ask for by ``event`` is not shown as ``raw`` too."""
    try:
        return write_json(_shown(value)).decode()
    except CelError:
        return repr(value)


def _shown(value: object) -> object:
    if isinstance(value, bytes):
        return _readable(value)
    if isinstance(value, Mapping):
        return {
            name: _shown(content)
            for name, content in value.items()
            if not (name == "raw" and "event" in value) and content is not None
        }
    return [_shown(content) for content in value] if isinstance(value, list) else value
