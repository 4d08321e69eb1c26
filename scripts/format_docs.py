"""The list of formats and framings in docs/configuration.md, made from their code.

``python -m scripts.format_docs`` writes it; with ``--check`` it fails if it is not what the code gives.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from router.framing import FRAMINGS, framing_of
from router.reference import cell, settings_of, table
from rules.codecs import FORMATS, Format
from scripts.connector_docs import BEGIN, END
from scripts.environment import ROOT

PAGE = ROOT / "docs" / "configuration.md"


def listed() -> str:
    """What stands between the two comments."""
    rows = ["| format | | framed, in a stream | in a body or a message |", "|---|---|---|---|"]
    for name, kind in FORMATS.items():
        stream, message = default_framings(kind)
        rows.append(f"| [`{name}`](#format-{name}) | {cell(_summary(kind))} | `{stream}` | `{message}` |")
    framings = ["| framing | |", "|---|---|"]
    framings += [f"| [`{name}`](#framing-{name}) | {cell(_summary(kind))} |" for name, kind in FRAMINGS.items()]
    formats = ["### Formats", "\n".join(rows), *_each("Format", FORMATS)]
    parts = [*formats, "### Framings", "\n".join(framings), *_each("Framing", FRAMINGS)]
    return "\n\n".join(part for part in parts if part)


def default_framings(kind: type[Format]) -> tuple[str, str]:
    """The framings of streams, and of bodies and messages, that go with a format."""
    made = kind.model_construct()
    return framing_of(None, made).type, framing_of(None, made, messages=True).type


def _each(word: str, kinds: Mapping[str, type[BaseModel]]) -> list[str]:
    found = []
    for name, kind in kinds.items():
        # What is nested is a format again.
        settings = [setting for setting in settings_of(kind) if setting.name != "type" and "." not in setting.name]
        found += [f"#### {word} `{name}`", inspect.cleandoc(kind.__doc__ or ""), table(settings)]
    return found


def _summary(kind: type[BaseModel]) -> str:
    return inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0]


def page(text: str) -> str:
    """The page with the list brought up to date."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{listed()}\n\n{END}{rest.partition(END)[2]}"


def is_stale(file: Path = PAGE) -> bool:
    """Whether the page is not what the code gives."""
    text = file.read_text(encoding="utf-8")
    return page(text) != text


def main(arguments: list[str]) -> None:
    """Write the list, or with ``--check`` see that there is nothing to write."""
    if arguments == ["--check"]:
        if is_stale():
            sys.exit("docs/configuration.md: formats and framings: not what the code says; run `make docs`")
    elif arguments:
        sys.exit("usage: python -m scripts.format_docs [--check]")
    elif is_stale():
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        print("docs/configuration.md")


if __name__ == "__main__":
    main(sys.argv[1:])
