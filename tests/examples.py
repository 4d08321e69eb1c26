"""Examples of the daemon's file, which leave out what they are not about."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.walkthrough import write


def completed(folder: Path, *texts: str) -> tuple[list[Path], dict[str, str]]:
    """The example's files (several are merged) and another with what they leave out, in this folder, beside a flow from
    all of its sources to all of its sinks, and the tables, all empty; and the environment variables that it needs."""
    loaded: list[dict[str, Any]] = [YAML(typ="safe", pure=True).load(text) for text in texts]
    sources = {name for data in loaded for name in data.get("sources", {})} or {"another"}
    sinks = sorted({name for data in loaded for name in data.get("sinks", {})})
    rest: dict[str, Any] = {"flows": ["rules/*.yaml"]}
    if sources == {"another"}:
        rest["sources"] = {"another": {"type": "stdin"}}
    flow = {"from": sorted(sources), "rules": [{"to": sinks or "drop"}]}
    files = [folder / f"{number}.yaml" for number in range(len(texts) + 1)]
    for file, text in zip(files, [*texts, json.dumps(rest)], strict=True):
        write(file, text)
    write(folder / "rules" / "all.yaml", json.dumps(flow))
    for data in loaded:
        for table in data.get("tables", {}).values():
            _write_table(folder, table)
    return files, dict.fromkeys(re.findall(r"\$\{env:(\w+)\}", "".join(texts)), "x")


def _write_table(folder: Path, table: dict[str, Any]) -> None:
    """The file of a table, without a row."""
    columns = ", ".join(table[name] for name in ("key", "value") if name in table)
    match table["type"]:
        case "csv":
            write(folder / table["path"], columns + "\n")
        case "json":
            write(folder / table["path"], "[]" if "key" in table else "{}")
        case "sqlite":
            with contextlib.closing(sqlite3.connect(folder / table["path"])) as database:
                database.execute(f"CREATE TABLE {table['table']} ({columns})")
