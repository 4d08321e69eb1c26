"""The contract of a flow, its schema file included."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import PurePath

from rules.contract import schema_validator
from rules.document import Document, Key, load
from rules.document.origin import Origin
from rules.faults import Fault, Place
from rules.flow import Contract
from rules.form import Form
from rules.reader.decisions import read_checks
from rules.reader.sensitive import marked_in, read_sensitive
from rules.reader.values import Scope

_CONTRACT = ("schema", "model", "expect", "sensitive")
_WANTED = "a mapping such as {schema: orders.schema.json, expect: {...}}"
_PATH: Key = ("contract",)

ReadFile = Callable[[str], bytes]


def read_contract(form: Form, data: object, scope: Scope, read_file: ReadFile) -> tuple[Contract, bytes]:
    """The contract, and the bytes of its schema file (empty without one)."""
    mapping = form.mapping(_PATH, data, _WANTED, _CONTRACT)
    if mapping is None:
        return Contract(), b""
    if not data:
        form.lacking(_PATH, "`contract` is empty", f"should be {_WANTED}")
    if "schema" in mapping and "model" in mapping:
        form.key_fault((*_PATH, "model"), "`model` beside `schema`", "should be one of them")
    schema_path, model_path = (*_PATH, "schema"), (*_PATH, "model")
    schema, raw = None, b""
    if "schema" in mapping:
        schema, raw = _schema(form, schema_path, mapping["schema"], read_file)
    model = form.name(model_path, mapping["model"], "the name of a model") if "model" in mapping else None
    marked = read_sensitive(form, (*_PATH, "sensitive"), mapping.get("sensitive", []), schema)
    contract = Contract(
        schema=schema,
        schema_place=form.document.place(schema_path) if "schema" in mapping else None,
        model=model,
        model_place=form.document.place(model_path) if "model" in mapping else None,
        expect=read_checks(form, (*_PATH, "expect"), mapping["expect"], scope) if "expect" in mapping else (),
        sensitive=(*marked, *marked_in(schema)),
    )
    return contract, raw


def _schema(
    form: Form, path: Key, data: object, read_file: ReadFile
) -> tuple[Mapping[str, object] | bool | None, bytes]:
    name = form.text(path, data, "the name of a JSON Schema file")
    if name is None:
        return None, b""
    try:
        raw = read_file(name)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        form.fault(path, f"`{name}` cannot be read: {reason}", "a schema file is relative to the rules file")
        return None, b""
    file = str(PurePath(form.document.file).parent / name)
    return _checked_schema(form, raw, file), raw


def _checked_schema(form: Form, raw: bytes, file: str) -> Mapping[str, object] | bool | None:
    """The schema in these bytes, JSON or YAML, if it is one. Its faults are placed in its own file."""
    document: Document | None = None
    try:
        schema = json.loads(raw)
    except (ValueError, RecursionError) as error:
        if file.endswith(".json"):
            form.faults.append(_not_json(error, file))
            return None
        document, faults = load(raw, file)
        if document is None or faults:
            form.faults.extend(faults)
            return None
        schema = document.data
    if not isinstance(schema, bool | Mapping):
        form.faults.append(Fault(Place(file), "this is not a JSON Schema", "should be an object, true or false"))
        return None
    try:
        schema_validator(schema)
    except ValueError as error:
        steps: Key = tuple(getattr(error.__cause__, "instance_path", ()))
        where = _place(document or load(raw, file)[0], steps, file)
        form.faults.append(Fault(where, f"this is not a JSON Schema: {error}", _pointer(steps)))
        return None
    return schema


def _not_json(error: Exception, file: str) -> Fault:
    if isinstance(error, json.JSONDecodeError):
        return Fault(Origin(file, error.doc).place(error.pos), f"this is not JSON: {error.msg}")
    if isinstance(error, UnicodeDecodeError):
        return Fault(Place(file), "this is not JSON: it is not UTF-8")
    return Fault(Place(file), "this is not JSON that can be read: it is nested too deeply")


def _place(document: Document | None, steps: Key, file: str) -> Place:
    return Place(file) if document is None else document.place(steps)


def _pointer(steps: Key) -> str:
    return "at " + "".join(f"/{step}" for step in steps) if steps else ""
