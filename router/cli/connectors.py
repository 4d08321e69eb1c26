"""``sluiceway connectors``: what is installed, and all about one."""

from __future__ import annotations

import inspect
import json
import sys
from typing import TYPE_CHECKING

import typer
from msgspec import to_builtins

from router.plugins import BrokenConnector, Installed, Kind, installed

if TYPE_CHECKING:
    from router.reference import Reference  # what only a list of names does not need

_KINDS: tuple[Kind, ...] = ("source", "sink")


def connectors(name: str | None, common: bool, as_json: bool) -> None:
    """List the connectors, or show all about one, or what every one takes. Exit status 2 when there is none of that
    name, 1 when it cannot be used."""
    found = [connector for connector in installed() if name in (None, connector.type)]
    if not found:
        names = ", ".join(sorted({connector.type for connector in installed()}))
        print(f"sluiceway: there is no connector {name!r}; there is {names}", file=sys.stderr)
        raise typer.Exit(2)
    if as_json:
        _print_json([] if common and name is None else found, common)
    elif name is None and not common:
        for connector in found:
            print(f"{connector.kind:7} {connector.type:10} {_summary(connector)}")
    else:
        _show(found if name else [], common)


def _print_json(found: list[Installed], common: bool) -> None:
    from router.reference import common_settings

    for connector in found:
        print(json.dumps(_json(connector), ensure_ascii=False))
    for kind in _KINDS if common else ():
        settings = [to_builtins(setting) for setting in common_settings(kind)]
        print(json.dumps({"kind": kind, "type": None, "settings": settings}, ensure_ascii=False))


def _json(connector: Installed) -> dict[str, object]:
    from router.reference import reference

    try:
        known = reference(connector)
    except BrokenConnector as error:
        return {"kind": connector.kind, "type": connector.type, "error": str(error)}
    return {**to_builtins(known), "guarantee": known.guarantee}


def _summary(connector: Installed) -> str:
    try:
        return inspect.cleandoc(connector.load().__doc__ or "").split("\n", 1)[0]
    except BrokenConnector as error:
        return f"cannot be used: {error}"


def _show(found: list[Installed], common: bool) -> None:
    from router.reference import common as of_all
    from router.reference import listing, reference

    known: list[Reference] = []
    broken: list[BrokenConnector] = []
    for connector in found:
        try:
            known.append(reference(connector))
        except BrokenConnector as error:
            broken.append(error)
    _print_markdown([*map(listing, known), *map(of_all, _KINDS if common else ())])
    for reason in broken:
        print(f"sluiceway: {reason}", file=sys.stderr)
    if broken:
        raise typer.Exit(1)


def _print_markdown(texts: list[str]) -> None:
    """Rendered on a terminal; as it is written otherwise."""
    if not sys.stdout.isatty():
        print("\n\n".join(texts))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    for text in texts:
        console.print(Markdown(text))
        console.print()
