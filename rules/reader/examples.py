"""The tests inside a rules file."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence

from rules import cel
from rules.document import Key
from rules.flow import DEAD_LETTER, REJECT, Expected, Given, Test
from rules.form import Form
from rules.quantities import span
from rules.suggest import did_you_mean

_TEST = ("name", "given", "then", "exact")
_GIVEN = ("event", "raw", "key", "headers", "time", "after", "source", "meta")
_THEN = "a mapping of sinks to a number of records or to the records, such as {archive: 1}"
_RECORDS = "a number of records, or a list of them, such as [{event: {amount: 900}}]"
_LETTER = ("event", "raw", "key", "headers", "stage", "reason")
_GIVEN_WANTED = "a record, such as {event: {type: order}}"


def read_tests(form: Form, data: object, sources: Sequence[str]) -> tuple[Test, ...]:
    """The list under ``tests``."""
    items = form.sequence(("tests",), data, "a list of tests") or ()
    tests = [_test(form, index, item, sources) for index, item in enumerate(items)]
    first: dict[str, int] = {}
    for index, test in enumerate(tests):
        if test is not None and test.name in first:
            line = form.document.place(("tests", first[test.name])).line
            form.fault(
                ("tests", index, "name"), f"a second test is named `{test.name}`", f"the first stands in line {line}"
            )
        elif test is not None:
            first[test.name] = index
    return tuple(test for test in tests if test is not None)


def _test(form: Form, index: int, data: object, sources: Sequence[str]) -> Test | None:
    path: Key = ("tests", index)
    mapping = form.mapping(path, data, "a test with `given` and `then`", _TEST)
    if mapping is None:
        return None
    for key, wanted in (("given", "a list of records"), ("then", _THEN)):
        if key not in mapping:
            form.missing(path, key, wanted)
    name = form.name((*path, "name"), mapping["name"], "the test's name") if "name" in mapping else None
    given = _givens(form, (*path, "given"), mapping["given"], sources) if "given" in mapping else ()
    then = _then(form, (*path, "then"), mapping["then"]) if "then" in mapping else {}
    exact = form.flag((*path, "exact"), mapping["exact"]) if "exact" in mapping else False
    return Test(name or f"test-{index + 1}", given, then, form.document.place(path), bool(exact))


def _givens(form: Form, path: Key, data: object, sources: Sequence[str]) -> tuple[Given, ...]:
    if isinstance(data, Mapping):
        return tuple(given for given in [_given(form, path, data, sources)] if given is not None)
    items = form.sequence(path, data, "a list of records, such as [{event: {type: order}}]") or ()
    found = [_given(form, (*path, index), item, sources) for index, item in enumerate(items)]
    return tuple(given for given in found if given is not None)


def _given(form: Form, path: Key, data: object, sources: Sequence[str]) -> Given | None:
    mapping = form.mapping(path, data, _GIVEN_WANTED, _GIVEN)
    if mapping is None:
        return None
    wanted = f"should be {_GIVEN_WANTED}, or {{raw: 'the payload'}}"
    if "event" in mapping and "raw" in mapping:
        form.fault(path, "`event` beside `raw`", wanted)
    elif "event" not in mapping and "raw" not in mapping and not form.is_misspelt(path, ("event", "raw")):
        form.lacking(path, "this record has neither `event` nor `raw`", wanted)
    if "event" in mapping:
        form.json((*path, "event"), mapping["event"])
    source = mapping.get("source")
    if source is not None and source not in sources and sources and not form.document.is_cut(("from",)):
        form.fault((*path, "source"), f"`{source}` is no source of this flow", did_you_mean(str(source), sources))
    return Given(
        event=mapping.get("event"),
        raw=_bytes(form, (*path, "raw"), mapping.get("raw")),
        key=_bytes(form, (*path, "key"), mapping.get("key")),
        headers=_headers(form, (*path, "headers"), mapping.get("headers", {})),
        time=_time(form, (*path, "time"), mapping.get("time")),
        after=_after(form, (*path, "after"), mapping["after"]) if "after" in mapping else 0,
        source=source if isinstance(source, str) else None,
        meta=form.mapping((*path, "meta"), mapping.get("meta", {}), "a mapping such as {topic: orders}") or {},
    )


def _bytes(form: Form, path: Key, data: object) -> bytes | None:
    """Text, as UTF-8, or ``{base64: ...}``."""
    if data is None:
        return None
    if isinstance(data, str):
        return data.encode(errors="surrogatepass")
    if isinstance(data, Mapping) and isinstance(encoded := data.get("base64"), str) and len(data) == 1:
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            form.fault((*path, "base64"), "this is not Base64", "should be like aGVsbG8=")
            return None
    form.wrong(path, data, "text, or {base64: aGVsbG8=} for bytes")
    return None


def _headers(form: Form, path: Key, data: object) -> Mapping[str, str]:
    mapping = form.mapping(path, data, "a mapping of names to texts") or {}
    found = {}
    for name, value in mapping.items():
        if isinstance(value, str):
            found[name] = value
        else:
            form.wrong((*path, name), value, "text")
    return found


def _time(form: Form, path: Key, data: object) -> str | None:
    if data is None:
        return None
    text = form.text(path, data, "a time such as 2026-01-31T12:00:00Z")
    if text is None:
        return None
    try:
        _TIMESTAMP.evaluate({"text": text})
    except cel.CelError:
        form.fault(path, f"`{text}` is not a time", "should be like 2026-01-31T12:00:00Z")
        return None
    return text


def _after(form: Form, path: Key, data: object) -> int:
    try:
        return span(data)
    except ValueError:
        written = form.document.source(path).strip()
        form.fault(path, f"`after` is {written or 'empty'}", "should be a duration such as 30s or 5m")
        return 0


_TIMESTAMP = cel.compile("timestamp(text)")


def _then(form: Form, path: Key, data: object) -> Mapping[str, Expected]:
    mapping = form.mapping(path, data, _THEN) or {}
    found = {}
    for sink, value in mapping.items():
        here = (*path, sink)
        expected = _expected(form, here, value, letter=sink in (DEAD_LETTER, REJECT))
        if expected is not None:
            found[sink] = expected
    return found


def _expected(form: Form, path: Key, data: object, *, letter: bool) -> Expected | None:
    place, name_place = form.document.place(path), form.document.key_place(path)
    if isinstance(data, int) and not isinstance(data, bool):
        if data >= 0:
            return Expected(data, None, place, name_place)
        form.fault(path, f"{form.named(path)} is {data}", "should be 0 or more")
        return None
    if not isinstance(data, list):
        form.wrong(path, data, _RECORDS)
        return None
    wanted = "a record, such as {event: {amount: 900}}"
    known = _LETTER if letter else None
    found = [form.mapping((*path, index), item, wanted, known) for index, item in enumerate(data)]
    records = [(index, record) for index, record in enumerate(found) if record is not None]
    places = [{key: form.document.key_place((*path, index, key)) for key in record} for index, record in records]
    return Expected(None, tuple(record for _, record in records), place, name_place, tuple(places))
