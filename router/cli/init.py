"""``sluiceway init``: a working example."""

from __future__ import annotations

import sys
from importlib.resources import as_file, files
from pathlib import Path

import typer

from router.errors import SluicewayError


def init(folder: Path) -> None:
    """Write the example; nothing that is there already is touched (exit status 2 names it)."""
    with as_file(files("router.cli") / "example") as example:
        sources = sorted(path for path in example.rglob("*.yaml"))
        targets = [folder / path.relative_to(example) for path in sources]
        there = [str(target) for target in targets if target.exists()]
        if there:
            print(f"sluiceway: nothing written, since this is there already: {', '.join(there)}", file=sys.stderr)
            raise typer.Exit(2)
        try:
            for source, target in zip(sources, targets, strict=True):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
        except OSError as error:
            raise SluicewayError(f"cannot write {error.filename}: {error.strerror}") from error
    config = folder / "sluiceway.yaml"
    print(f"Written: {', '.join(map(str, targets))}\nNext:\n  sluiceway test {config}\n  sluiceway run {config}")
