"""What there is to know about a connector, as Markdown: settings as a list, to be read as it is, or as a table."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Sequence

from router.plugins import Kind
from router.reference.connector import Reference, common_settings
from router.reference.settings import Setting

_WIDTH = 100
_PER_RECORD = "Settings *per record* may hold `${CEL}`, and may be set on a target in a rules file."


def listing(reference: Reference) -> str:
    """All of it, with settings and metrics as lists."""
    names = [setting.name for setting in common_settings(reference.kind) if "." not in setting.name]
    also = ", ".join(f"`{name}`" for name in names)
    settings = [
        _items(reference.settings) if reference.settings else "It has none of its own.",
        f"Every {reference.kind} also takes {also}: `sluiceway connectors --common` tells of them.",
    ]
    metrics = [
        f"- `{family.name}{{{','.join(family.labels)}}}` ({family.type}): {family.help}" for family in reference.metrics
    ]
    return _paragraphs(
        f"# {reference.kind.capitalize()} `{reference.type}`",
        reference.summary,
        _example(reference, "yaml"),
        "## Settings",
        *settings,
        _note(reference.settings),
        "## What it does" if reference.description else "",
        reference.description,
        "## Metrics",
        "\n".join(metrics),
    )


def section(reference: Reference) -> str:
    """All of it as a part of a page of the documentation, under a heading of the second level."""
    every, metrics = f"every {reference.kind} takes", [f"`{family.name}`" for family in reference.metrics]
    return _paragraphs(
        f"## {reference.kind.capitalize()}",
        reference.summary,
        _example(reference, "yaml config"),
        table(reference.settings),
        _note(reference.settings),
        f"Besides, it takes [what {every}](../configuration.md#what-{every.replace(' ', '-')}).",
        reference.description,
        f"**Metrics** ([what they say](../operations.md#metrics)): {', '.join(metrics)}.",
    )


def common(kind: Kind) -> str:
    """What every source or every sink takes."""
    return _paragraphs(f"# Every {kind}", _items(common_settings(kind)))


def cell(text: str) -> str:
    """Markdown as it stands in a table: on one line, without a bar that would end the cell."""
    lines = re.sub(r"\n{2,}", "<br>", text.strip())
    return re.sub(r"(?<!\\)\|", r"\\|", lines.replace("\n", " "))


def _items(settings: Iterable[Setting]) -> str:
    return "\n".join(_item(setting) for setting in settings)


def _item(setting: Setting) -> str:
    default = "" if setting.required or setting.default is None else f"default {_code(setting.default)}"
    facts = [setting.type, _required(setting), default, "per record" if setting.per_record else ""]
    lines = textwrap.wrap(" ".join(setting.description.split()), _WIDTH) or [""]
    return "\n  ".join([f"- `{setting.name}` ({'; '.join(filter(None, facts))})  ", *lines])


def table(settings: Sequence[Setting]) -> str:
    """Settings as a table; nothing where there are none."""
    rows = [
        "| {} |".format(" | ".join(map(cell, (f"`{setting.name}`", *_columns(setting), setting.description))))
        for setting in settings
    ]
    return "\n".join(["| setting | type | default | |", "|---|---|---|---|", *rows]) if rows else ""


def _columns(setting: Setting) -> tuple[str, str]:
    default = "" if setting.default is None else _code(setting.default)
    return f"{setting.type}{', *per record*' if setting.per_record else ''}", _required(setting) or default


def _required(setting: Setting) -> str:
    outer = setting.name.rpartition(".")[0]
    within = f" in `{outer}`" if outer else ""
    return f"required{within}" if setting.required else ""


def _code(default: object) -> str:
    """A default in code: text as it is, anything else as JSON, which is YAML too."""
    text = default if isinstance(default, str) and default else json.dumps(default, ensure_ascii=False)
    return f"`{text}`" if "`" not in text else f"`` {text} ``"


def _note(settings: Iterable[Setting]) -> str:
    return _PER_RECORD if any(setting.per_record for setting in settings) else ""


def _example(reference: Reference, label: str) -> str:
    return f"```{label}\n{reference.example}\n```" if reference.example else ""


def _paragraphs(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)
