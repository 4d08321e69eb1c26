"""``sluiceway schema``: JSON Schema for editors."""

from __future__ import annotations

import json
import sys

import typer

from router.config import json_schema


def schema(kind: str) -> None:
    """Print the schema of ``config`` or ``rules``."""
    if kind not in ("config", "rules"):
        print(
            f"sluiceway: there is no schema {kind!r}; config is the daemon's file, rules a rules file", file=sys.stderr
        )
        raise typer.Exit(2)
    print(json.dumps(json_schema("config" if kind == "config" else "rules"), indent=2))
