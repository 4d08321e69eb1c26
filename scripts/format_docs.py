"""The list of formats and framings in docs/configuration.md, made from their code.

``python -m scripts.format_docs`` writes it; with ``--check`` it fails if it is not what the code gives.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping

from pydantic import BaseModel

from router.framing import FRAMINGS, framing_of
from router.reference import cell, settings_of, table
from rules.codecs import FORMATS, Format
from scripts.environment import ROOT
from scripts.made_part import MadePart


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


PART = MadePart(ROOT / "docs" / "configuration.md", listed, "format_docs")

if __name__ == "__main__":
    PART.main(sys.argv[1:])
