"""Texts with ``${...}`` in them: where each ``${`` is, and what stands between its braces."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

_MARK = re.compile(r"\$\$\{|\$\{")
_SKIP = re.compile(
    r"""
    [bB]?[rR][bB]?(?:\"{3}[\s\S]*?\"{3}|'{3}[\s\S]*?'{3}|"[^"\n]*"|'[^'\n]*')
    | \"{3}(?:\\[\s\S]|[^\\])*?\"{3} | '{3}(?:\\[\s\S]|[^\\])*?'{3}
    | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'
    | //[^\n]* | [A-Za-z_][A-Za-z_0-9]*(?!["'])
    """,
    re.VERBOSE,
)
"""What braces are not looked for in: strings and comments of CEL; words, so that the ``r`` of none is taken apart."""


class Verbatim(str):
    """A text in which ``${`` begins no expression: it was written ``$${``, or filled in."""

    __slots__ = ()


class Part(Struct, frozen=True):
    """A part of a text: ``literal`` text, or an expression that begins at ``start`` of the whole text."""

    text: str
    start: int
    literal: bool


class Unclosed(Exception):
    """A ``${`` at ``start`` that no ``}`` ends."""

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self.start = start


def parts(text: str) -> Iterator[Part]:
    """The parts of a text, in order; ``$${`` is a literal ``${``. Raises Unclosed."""
    literal = ""
    literal_start = at = 0
    while found := _MARK.search(text, at):
        literal += text[at : found.start()]
        if found[0] == "$${":
            literal += "${"
            at = found.end()
            continue
        if literal:
            yield Part(literal, literal_start, literal=True)
        end = expression_end(text, found.end())
        if end is None:
            raise Unclosed(found.start())
        yield Part(text[found.end() : end], found.end(), literal=False)
        literal = ""
        literal_start = at = end + 1
    literal += text[at:]
    if literal:
        yield Part(literal, literal_start, literal=True)


def expression_end(text: str, at: int) -> int | None:
    """The index of the ``}`` that ends the expression that begins at ``at``; None when nothing does."""
    depth = 0
    while at < len(text):
        if skipped := _SKIP.match(text, at):
            at = skipped.end()
            continue
        if text[at] == "{":
            depth += 1
        elif text[at] == "}":
            if not depth:
                return at
            depth -= 1
        at += 1
    return None
