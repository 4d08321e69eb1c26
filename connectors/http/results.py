"""What became of each record, read out of the answers of bulk APIs by an expression."""

from __future__ import annotations

import json
from enum import Enum

from msgspec import Struct

from connectors.http.answers import Answer, excerpt
from router import Expression, Json

OVERLOADED = frozenset({429, 503})
AGAIN = frozenset({408, 425})


class Fate(Enum):
    """What became of a record."""

    WRITTEN = "written"
    REFUSED = "refused"
    RETRY = "retry"
    DELAYED = "delayed"


class Result(Struct, frozen=True):
    """What became of a record, and why."""

    fate: Fate
    reason: str = ""


def results_of(expression: Expression, answer: Answer, records: int) -> list[Result]:
    """One for each record of a request, in their order. Raises ValueError for an answer that cannot be read so."""
    response = {"status": answer.status, "headers": answer.headers, "body": answer.content()}
    try:
        found = expression.evaluate({"response": response})
    except LookupError as error:
        raise ValueError(str(error)) from error
    if not isinstance(found, list) or len(found) != records:
        many = f"it has {len(found)} result(s)" if isinstance(found, list) else f"it is {excerpt(str(found), 100)}"
        raise ValueError(f"{many} for {records} record(s)")
    return [_result(value) for value in found]


def _result(value: Json) -> Result:
    if isinstance(value, bool):
        return Result(Fate.WRITTEN) if value else Result(Fate.REFUSED, "the server refused it")
    if isinstance(value, int):
        return Result(_fate_of(value), str(value))
    if isinstance(value, dict):
        return _described(value)
    raise ValueError(f"a result is no boolean, status or map but {excerpt(str(value), 100)}")


def _described(value: dict[str, Json]) -> Result:
    ok, status, retry, reason = (value.get(name) for name in ("ok", "status", "retry", "reason"))
    for name, given, kind in (("ok", ok, bool), ("status", status, int), ("retry", retry, bool)):
        if given is not None and type(given) is not kind:
            raise ValueError(f"`{name}` of a result is {excerpt(str(given), 100)}")
    if ok is None and status is None:
        raise ValueError("a result has neither `ok` nor `status`")
    said = [] if status is None else [str(status)]
    if reason:
        said.append(excerpt(reason if isinstance(reason, str) else json.dumps(reason, ensure_ascii=False)))
    fate = Fate.REFUSED if status is None or ok is False else _fate_of(int(str(status)))
    if ok:
        return Result(Fate.WRITTEN)
    if retry and fate is not Fate.WRITTEN:
        fate = Fate.RETRY
    return Result(fate, ": ".join(said) or "the server refused it")


def _fate_of(status: int) -> Fate:
    """What a status means for the record that it was given for."""
    if 200 <= status < 300:
        return Fate.WRITTEN
    if status in OVERLOADED:
        return Fate.DELAYED
    return Fate.RETRY if status >= 500 or status in AGAIN else Fate.REFUSED
