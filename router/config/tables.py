"""The tables and secrets of the daemon's file."""

from __future__ import annotations

from router.config.interpolation import Filled
from router.config.validation import validate
from router.tables.settings import TABLES, TableSpec
from rules.document import Key
from rules.faults import Fault
from rules.form import Form
from rules.suggest import did_you_mean

_WANTED = "a mapping such as {type: csv, path: countries.csv, key: code}"


def read_tables(filled: Filled, faults: list[Fault]) -> dict[str, TableSpec]:
    """Every table that could be read, by name."""
    document = filled.document
    node = document.node(("tables",))
    if node is None:
        return {}
    form = Form(document)
    mapping = form.mapping(("tables",), node.data, f"a mapping of names to tables, each {_WANTED}") or {}
    found = {name: _table(form, filled, name, data) for name, data in mapping.items()}
    faults += form.faults
    return {name: spec for name, spec in found.items() if spec is not None}


def _table(form: Form, filled: Filled, name: str, data: object) -> TableSpec | None:
    path: Key = ("tables", name)
    mapping = form.mapping(path, data, _WANTED)
    if mapping is None:
        return None
    if "type" not in mapping:
        form.missing(path, "type", f"one of {', '.join(TABLES)}")
        return None
    type_ = form.text((*path, "type"), mapping["type"], f"one of {', '.join(TABLES)}")
    if type_ is None:
        return None
    if type_ not in TABLES:
        form.fault((*path, "type"), f"there are no tables of type `{type_}`", did_you_mean(type_, TABLES))
        return None
    below = Form(form.document.below(path))
    settings = validate(below, filled, TABLES[type_])
    form.faults += below.faults
    if settings is None:
        return None
    places = {setting: form.document.place((*path, setting)) for setting in TABLES[type_].model_fields}
    return TableSpec(name, settings, form.document.key_place(path), places)


def check_secrets(form: Form) -> None:
    """A secret stands elsewhere: this file is read by many, and kept for long."""
    node = form.document.node(("secrets",))
    for name, (_, value) in ({} if node is None else node.entries).items():
        written = str(value.source)
        if isinstance(value.data, str) and not any(mark in written for mark in ("${env:", "${file:", "${credential:")):
            what = f"the secret `{name}` stands in this file"
            form.fault(
                ("secrets", name), what, "should be filled in, by `${env:NAME}`, `${file:PATH}` or `${credential:NAME}`"
            )
