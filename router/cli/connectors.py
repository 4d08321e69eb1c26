"""``sluiceway connectors``: what is installed, with each one's settings."""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any

import typer

from router.plugins import BrokenConnector, Installed, installed


def connectors(name: str | None, as_json: bool) -> None:
    """List the connectors, or show one. Exit status 2 when it is not installed."""
    found = [connector for connector in installed() if name in (None, connector.type)]
    if not found:
        names = ", ".join(sorted({connector.type for connector in installed()}))
        print(f"sluiceway: there is no connector {name!r}; there is {names}", file=sys.stderr)
        raise typer.Exit(2)
    for connector in found:
        if as_json:
            print(json.dumps(_json(connector), ensure_ascii=False))
        elif name is None:
            print(f"{connector.kind:7} {connector.type:10} {_summary(connector)}")
        else:
            _show(connector)


def _json(connector: Installed) -> dict[str, Any]:
    cls = connector.load()
    return {
        "kind": connector.kind,
        "type": connector.type,
        "description": inspect.cleandoc(cls.__doc__ or ""),
        "settings": cls.Config.model_json_schema(),
    }


def _summary(connector: Installed) -> str:
    try:
        return inspect.cleandoc(connector.load().__doc__ or "").split("\n", 1)[0]
    except BrokenConnector as error:
        return f"cannot be used: {error}"


def _show(connector: Installed) -> None:
    cls = connector.load()
    print(f"{connector.kind} {connector.type}\n\n{inspect.cleandoc(cls.__doc__ or '')}\n\nSettings:")
    schema = cls.Config.model_json_schema()
    for name, field in schema.get("properties", {}).items():
        needed = "required" if name in schema.get("required", []) else f"default {json.dumps(field.get('default'))}"
        print(f"  {name} ({needed})")
        for line in field.get("description", "").splitlines():
            print(f"      {line}")
    print()
