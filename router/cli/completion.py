"""Names that the shell completes: those of flows, sources and sinks in the daemon's files.

Somebody waits for them while typing, so only what says names is read; and a shell has no place for what is wrong with
the files.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

_FLOW = re.compile(rb"^flow:[ \t]*[\"']?([^\"'#\r\n]+?)[\"']?[ \t]*(?:#.*)?$", re.MULTILINE)
_SUFFIXES = (".yaml", ".yml", ".json")


def flow_names(context: typer.Context, incomplete: str) -> list[str]:
    """Flows whose names begin so."""
    return _beginning(incomplete, _flows, context)


def source_names(context: typer.Context, incomplete: str) -> list[str]:
    """Sources whose names begin so."""
    return _beginning(incomplete, lambda _, data: data.get("sources") or (), context)


def sink_names(context: typer.Context, incomplete: str) -> list[str]:
    """Sinks whose names begin so."""
    return _beginning(incomplete, lambda _, data: data.get("sinks") or (), context)


def _beginning(incomplete: str, names: Callable[[Path, Any], Any], context: typer.Context) -> list[str]:
    found: dict[str, None] = {}
    for file in _files(context):
        try:
            found |= dict.fromkeys(map(str, names(file, _read(file))))
        except Exception:  # noqa: BLE001, S112 - whatever is wrong with a file, the shell is the wrong place to say so
            continue
    return [name for name in found if name.startswith(incomplete)]


def _files(context: typer.Context) -> list[Path]:
    """The daemon's files, as far as they are typed already."""
    # Behind an option that still lacks its value, click leaves arguments where they are.
    given = [*(context.params.get("config") or context.params.get("arguments") or ()), *context.args]
    files = [Path(str(item)) for item in given if str(item).endswith(_SUFFIXES)]
    return files or [Path("sluiceway.yaml")]


def _read(file: Path) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(file.read_bytes())


def _flows(file: Path, data: Any) -> Iterator[str]:
    """What the rules files say, or are called."""
    patterns = data.get("flows") or ()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        for name in sorted(glob.glob(pattern, root_dir=file.parent, recursive=True)):  # noqa: PTH207 - as the loader
            path = file.parent / name
            said = _FLOW.search(path.read_bytes())
            yield path.stem if said is None else said[1].decode()
