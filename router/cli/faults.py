"""A refused configuration, shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import typer

from router.config import Configuration, Inputs, Whereabouts, load, whereabouts
from router.tables import Tables
from rules.faults import Fault, Refused


def load_or_exit(files: Sequence[Path], inputs: Inputs | None = None) -> Configuration:
    """The configuration, and into ``inputs`` the files that it depends on; or every fault of it on stderr, and exit
    status 2."""
    try:
        return load(files, inputs=inputs)
    except Refused as refused:
        show(refused.faults, refused.warnings)
        raise typer.Exit(2) from refused


def whereabouts_or_exit(files: Sequence[Path], *, with_token: bool) -> Whereabouts:
    """Where the instance of a configuration is, whatever else is wrong with it, and its token if that is wanted; or
    what is wrong with these on stderr, and exit status 2."""
    try:
        return whereabouts(files, with_token=with_token)
    except Refused as refused:
        show(refused.faults)
        raise typer.Exit(2) from refused


def tables_or_exit(configuration: Configuration) -> Tables:
    """The tables of a configuration, loaded; or what is wrong with them on stderr, and exit status 2."""
    from router.assembly import tables_of

    tables = tables_of(configuration)
    try:
        tables.load_now()
    except Refused as refused:
        show(refused.faults)
        raise typer.Exit(2) from refused
    return tables


def show(faults: Sequence[Fault], warnings: Sequence[Fault] = ()) -> None:
    """Every fault and every warning on stderr, one a line, in the order of their places, and how many there are."""
    lines = [*((fault, str(fault)) for fault in faults), *((fault, as_warning(fault)) for fault in warnings)]
    for _, line in sorted(lines):
        print(line, file=sys.stderr)
    counts = [_count(len(found), what) for found, what in ((faults, "fault"), (warnings, "warning")) if found]
    print(f"refused: {', '.join(counts)}", file=sys.stderr)


def as_warning(fault: Fault) -> str:
    """What is no fault and yet probably not meant, as a line."""
    return str(Fault(fault.place, f"warning: {fault.what}", fault.hint))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def as_json(faults: Iterable[Fault], kind: str) -> list[str]:
    """One JSON object a fault."""
    return [
        json.dumps(
            {
                "kind": kind,
                "file": fault.place.file,
                "line": fault.place.line,
                "column": fault.place.column,
                "what": fault.what,
                "hint": fault.hint,
            },
            ensure_ascii=False,
        )
        for fault in faults
    ]
