"""A contract of 12 constraints on 8 fields: what it costs to decode and check a record, beside the libraries for that.

Ours is a whole flow with the contract and one rule that takes everything, from payload to decision; the same flow
without the contract stands beside it. All records of the measured ones keep the contract; that everybody refuses the
same ones of those that do not is seen to before.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import jsonschema_rs
import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from bench import loops
from bench.events import lines
from bench.flows import compiled, routing
from bench.loops import PerRecord
from bench.report import Promise, Table, figure, judge
from router.batch import Batch

EVENTS = 4_000

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id", "type", "amount", "currency", "user", "device", "ts", "session"],
    "properties": {
        "id": {"type": "integer", "minimum": 0},
        "type": {"enum": ["order", "view", "click", "reading"]},
        "amount": {"type": "number", "minimum": 0, "maximum": 1000},
        "currency": {"type": "string", "minLength": 3, "maxLength": 3},
        "user": {"type": "object", "required": ["plan"], "properties": {"plan": {"enum": ["free", "pro", "team"]}}},
        "device": {"type": "string", "minLength": 5},
        "ts": {"type": "string", "minLength": 20, "maxLength": 20},
        "session": {"type": "string", "minLength": 20, "maxLength": 20},
    },
}
"""Beside the types and the presence of the fields: two sets of values, three bounds, seven lengths."""

FLOW = """\
flow: events
from: [events]
{contract}rules:
  - {{name: all, to: out}}
"""

Plan = Literal["free", "pro", "team"]
Kind = Literal["order", "view", "click", "reading"]
Id = Annotated[int, Field(ge=0, strict=True)]
Amount = Annotated[float, Field(ge=0, le=1000, strict=True)]
Currency = Annotated[str, Field(min_length=3, max_length=3, strict=True)]
Device = Annotated[str, Field(min_length=5, strict=True)]
Time = Annotated[str, Field(min_length=20, max_length=20, strict=True)]


class User(TypedDict):
    """As the schema has it."""

    plan: Plan


class Event(TypedDict):
    """As the schema has it."""

    id: Id
    type: Kind
    amount: Amount
    currency: Currency
    user: User
    device: Device
    ts: Time
    session: Time


class UserModel(BaseModel):
    """As the schema has it."""

    model_config = ConfigDict(extra="ignore")
    plan: Plan


class EventModel(BaseModel):
    """As the schema has it."""

    model_config = ConfigDict(extra="ignore")
    id: Id
    type: Kind
    amount: Amount
    currency: Currency
    user: UserModel
    device: Device
    ts: Time
    session: Time


DECODE, DICT, OURS = "orjson.loads", "jsonschema-rs, parsed dict", "ours: flow with the contract"
Figures = dict[str, list[PerRecord]]

_is_valid = jsonschema_rs.validator_for(SCHEMA).is_valid
_typed_dict = TypeAdapter(Event).validate_json
_model = EventModel.model_validate_json
_ours = compiled(FLOW.format(contract="contract: {schema: schema.json}\n"), ["out"], json.dumps(SCHEMA).encode())
_bare = compiled(FLOW.format(contract=""), ["out"])


def measured(events: int, runs: int) -> Figures:
    """The costs of everybody, by turns. Raises ValueError where they do not refuse the same records."""
    payloads = [line.rstrip() for line in lines(events)]
    if _refused(payloads) or len(_refused([_broken(number, line) for number, line in enumerate(payloads)])) != events:
        raise ValueError("a contract refuses what keeps it, or takes what breaks it")
    decoded = [orjson.loads(payload) for payload in payloads]
    contenders = {
        DECODE: loops.over(orjson.loads, payloads),  # type: ignore[arg-type]
        DICT: loops.over(_is_valid, decoded),
        "pydantic, TypedDict, from bytes": loops.over(_typed_dict, payloads),  # type: ignore[arg-type]
        "pydantic, BaseModel, from bytes": loops.over(_model, payloads),  # type: ignore[arg-type]
        "ours: flow without it": routing(_bare, payloads),
        OURS: routing(_ours, payloads),
    }
    return loops.measure(contenders, events, runs)


def _broken(number: int, payload: bytes) -> bytes:
    """The same with one of its constraints broken."""
    event = orjson.loads(payload)
    change: Sequence[Callable[[], object]] = (
        lambda: event.update(id=-1),
        lambda: event.update(type="other"),
        lambda: event.update(amount=-0.5),
        lambda: event.update(amount=1000.5),
        lambda: event.update(currency="EURO"),
        lambda: event["user"].update(plan="none"),
        lambda: event.update(device="pad"),
        lambda: event.update(ts="2026"),
        lambda: event.pop("session"),
        lambda: event.update(amount="12"),
    )
    change[number % len(change)]()
    return orjson.dumps(event)


def _refused(payloads: Sequence[bytes]) -> set[int]:
    """The numbers of those that are refused. Raises ValueError where it is not by all."""
    found = [
        {number for number, payload in enumerate(payloads) if not _is_valid(orjson.loads(payload))},
        {number for number, payload in enumerate(payloads) if not _takes(_typed_dict, payload)},
        {number for number, payload in enumerate(payloads) if not _takes(_model, payload)},
        {letter.index for letter in _ours.route(Batch(payloads, ascii=True), "events").letters},
    ]
    if any(other != found[0] for other in found):
        raise ValueError("not all refuse the same records")
    return found[0]


def _takes(validate: Callable[[bytes], object], payload: bytes) -> bool:
    try:
        validate(payload)
    except ValidationError:
        return False
    return True


def promises(figures: Figures) -> list[Promise]:
    """That ours is no dearer than to decode with orjson and to look at the dict with jsonschema-rs."""
    both = [PerRecord(a.cpu + b.cpu, a.wall + b.wall) for a, b in zip(figures[DECODE], figures[DICT], strict=True)]
    return [Promise("cpu of ours in times orjson.loads and jsonschema-rs", loops.ratio(figures[OURS], both), 1.0)]


def table(figures: Figures) -> Table:
    """A row for each, and one for what the promise is about."""
    found = {name: loops.median(costs) for name, costs in figures.items()}
    decode, checked = found[DECODE], found[DICT]
    found["orjson.loads and jsonschema-rs"] = PerRecord(decode.cpu + checked.cpu, decode.wall + checked.wall)
    return Table(("", "cpu us", "wall us"), [(name, figure(it.cpu), figure(it.wall)) for name, it in found.items()])


def main(arguments: list[str]) -> int:
    """Print a table; exit status 1 when the contract costs more than is promised."""
    parser = argparse.ArgumentParser(prog="python -m bench contract", description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--events", type=int, default=EVENTS)
    options = parser.parse_args(arguments)
    figures = measured(options.events, options.runs)
    print(table(figures).text())
    return judge(promises(figures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
