"""What a target always chooses of its sink's settings: refused here, not with each record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from router.config.model import SinkSpec
from router.settings import Context, Settings
from rules.flow import Expr, Template, Value
from rules.outgoing import is_allowed

_OPEN = "${CEL}"
"""Stands for what is filled in."""


def untaken(config: type[Settings], chosen: Mapping[str, Value]) -> list[ErrorDetails]:
    """Of the settings that a target chose, the constants that the sink's settings of these names do not take."""
    try:
        config.model_validate({name: _plain(value) for name, value in chosen.items()})
    except ValidationError as error:
        return [detail for detail in error.errors(include_url=False) if _is_constant(chosen, detail)]
    return []


def refused(sink: SinkSpec, chosen: Mapping[str, Value], folder: Path) -> dict[str, tuple[str, str]]:
    """Of these settings, the constants that the sink would refuse of each record, or its ``allow``: by their names,
    what is wrong, and what would be right."""
    constants = {name: value for name, value in chosen.items() if not _has_open(value)}
    settings = sink.settings.within(Context(sink.name, folder))
    reasons = {name: (f"`{name}`: {why}", "") for name, why in settings.refusals(constants).items()}
    for name, patterns in sink.allow.items():
        if name in constants and not is_allowed(str(constants[name]), patterns):
            what = f"`{name}` is `{constants[name]}`, which `allow` of sink `{sink.name}` does not let through"
            reasons.setdefault(name, (what, f"`allow` has {', '.join(patterns)}"))
    return reasons


def constants_of(chosen: Mapping[str, Value], names: frozenset[str]) -> dict[str, Value]:
    """Those of the settings that have these names, and of which something is always the same."""
    return {name: value for name, value in chosen.items() if name in names and not _is_open(value)}


def _is_open(value: Value) -> bool:
    """Whether a value is filled in, or is null, which chooses nothing and stands for what could not be read."""
    return value is None or isinstance(value, Expr | Template)


def _has_open(value: Value) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_open, value.values()))
    return any(map(_has_open, value)) if isinstance(value, tuple) else _is_open(value)


def _plain(value: Value) -> object:
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return _OPEN if _is_open(value) else value


def _is_constant(chosen: Mapping[str, Value], error: ErrorDetails) -> bool:
    """Whether what an error is about does not depend on anything that is filled in."""
    if not error["loc"] or error["loc"][0] not in chosen or error["type"] == "missing":
        return False
    value: Value = dict(chosen)
    for step in error["loc"]:
        if isinstance(value, Mapping) and step in value:
            value = value[str(step)]
        elif isinstance(value, tuple) and isinstance(step, int) and step < len(value):
            value = value[step]
    return not (_has_open(value) if error["type"] in ("value_error", "assertion_error") else _is_open(value))
