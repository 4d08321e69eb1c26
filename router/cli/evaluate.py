"""``sluiceway eval``: one CEL expression."""

from __future__ import annotations

import json
import os
import sys

import typer

from rules import cel
from rules.cel import to_json
from rules.codecs import Json


def evaluate(expression: str, event: str | None, meta: str | None) -> None:
    """Print the value as JSON; or every fault in the text, with a caret under its place."""
    bindings: dict[str, object] = {}
    if event is not None:
        bindings["event"] = _json("--event", sys.stdin.read() if event == "-" else event)
    if meta is not None:
        bindings["meta"] = _json("--meta", meta)
    try:
        compiled = cel.compile(expression)
    except cel.CelSyntaxError as error:
        for fault in error.faults:
            line = expression.split("\n")[fault.line - 1]
            caret = " " * (fault.column - 1) + "^"
            print(f"{fault.line}:{fault.column}: {fault.message}\n  {line}\n  {caret}", file=sys.stderr)
        raise typer.Exit(2) from error
    try:
        value = to_json(compiled.evaluate(bindings))
    except cel.CelError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    print(json.dumps(value, ensure_ascii=False))


def _json(option: str, text: str) -> object:
    try:
        return Json().codec.decode(os.fsencode(text))
    except (ValueError, RecursionError) as error:
        print(f"sluiceway: {option} is no JSON: {error}", file=sys.stderr)
        raise typer.Exit(2) from error
