"""The pages about connectors, docs/connectors/, made from the connectors' code.

``python -m scripts.connector_docs`` writes them; with ``--check`` it says which of them are not what the code gives,
and fails if there are any.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from router.plugins import installed
from router.reference import Reference, cell, reference, section
from scripts.environment import ROOT
from scripts.made_part import with_part

FOLDER = ROOT / "docs" / "connectors"
MADE = "<!-- Made from the code by `make docs`: what stands here is changed in the docstrings of the connector. -->"


def pages(readme: str) -> dict[str, str]:
    """Every page by its name: one for each connector's type, and README.md, in which only the table is changed."""
    # What else is installed in this environment has documentation of its own.
    own = [connector for connector in installed() if (dist := connector.entry.dist) and dist.name == "sluiceway"]
    known = sorted(map(reference, own), key=attrgetter("type"))
    by_type = {type_: list(same) for type_, same in groupby(known, key=attrgetter("type"))}
    made = {f"{type_}.md": _page(type_, same) for type_, same in by_type.items()}
    made["README.md"] = with_part(readme, _table(by_type))
    return made


def _page(type_: str, same: Iterable[Reference]) -> str:
    return "\n\n".join([MADE, f"# `{type_}`", *map(section, same)]) + "\n"


def _table(by_type: dict[str, list[Reference]]) -> str:
    rows = ["| type | as a source | as a sink |", "|---|---|---|"]
    for type_, same in by_type.items():
        summaries = {known.kind: cell(known.summary) for known in same}
        rows.append(f"| [`{type_}`]({type_}.md) | {summaries.get('source', '')} | {summaries.get('sink', '')} |")
    return "\n".join(rows)


def stale(folder: Path = FOLDER) -> list[str]:
    """The names of the pages that are not what the code gives, or are of a connector that is no more."""
    made = pages(_text(folder / "README.md"))
    different = [name for name, text in made.items() if _text(folder / name) != text]
    return sorted([*different, *(page.name for page in _made_before(folder) if page.name not in made)])


def write(folder: Path = FOLDER) -> list[str]:
    """Bring the pages up to date; those that were not."""
    changed = stale(folder)
    made = pages(_text(folder / "README.md"))
    for name in changed:
        if name in made:
            (folder / name).write_text(made[name], encoding="utf-8")
        else:
            (folder / name).unlink()
    return changed


def _made_before(folder: Path) -> list[Path]:
    return [page for page in folder.glob("*.md") if _text(page).startswith(MADE)]


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8") if page.exists() else ""


def main(arguments: list[str]) -> None:
    """Write the pages, or with ``--check`` see that there is nothing to write."""
    if arguments == ["--check"]:
        found = stale()
        if found:
            sys.exit(f"docs/connectors: {', '.join(found)}: not what the code says; run `make docs`")
    elif arguments:
        sys.exit("usage: python -m scripts.connector_docs [--check]")
    else:
        for name in write():
            print(f"docs/connectors/{name}")


if __name__ == "__main__":
    main(sys.argv[1:])
