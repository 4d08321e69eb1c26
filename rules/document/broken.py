"""The spot where a text stops to be YAML, in the words of somebody who writes a configuration."""

from __future__ import annotations

import re

from msgspec import Struct
from msgspec.structs import replace
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from rules.document.lines import lacks_colon
from rules.document.origin import Mend, Origin
from rules.faults import Fault


class Broken(Struct, frozen=True):
    """The spot where reading stopped, or where YAML read a value as something that nobody means."""

    index: int
    problem: str
    hint: str = ""
    mendable: bool = True
    passable: bool = False
    """Whether reading can go on all the same."""
    repairable: bool = False
    """Whether reading can go on once what is broken is closed, moved or left out."""
    opened: int | None = None
    """Where the ``{...}`` or ``[...]`` began in which it is: what broke it may stand on any line from there on."""
    quote: int | None = None
    """Where the text in quotes began in which it is."""
    is_sure: bool = False
    """Whether it is known what is missing there."""

    @property
    def is_tab(self) -> bool:
        """Whether it is a tab that indents."""
        return (self.problem, self.hint) == _TAB

    def fault(self, origin: Origin) -> Fault:
        """What is wrong, where nothing is known to mend it."""
        return Fault(origin.place(self.index), self.problem, self.hint)

    def mended_by(self, mend: Mend, origin: Origin) -> Fault:
        """What is wrong, where quotes mend it."""
        what = f"YAML does not read `{origin.text[mend.start : mend.end]}` as one text"
        return Fault(origin.place(mend.start), what, "should be quoted: " + f"{mend.key} {mend.text}".lstrip())


UNCLOSED = "a quote is opened and never closed"
"""What is wrong with a quote that nothing ends."""
_NO_COLON = ("a key without `:`", "should be `key: value`")
_TAB = ("a tab", "YAML indents with spaces")
_ESCAPED = re.compile(r'"(?:[^"\\\n]|\\.)*"[ \t]*(?:[,}\]#\r\n]|$)')
"""A text in double quotes that is all of a value."""
_PROBLEMS = {
    "mapping values are not allowed here": ("`: ` inside a value makes YAML read a mapping", ""),
    "found character '\\t' that cannot start any token": _TAB,
    "could not find expected ':'": _NO_COLON,
    "found unexpected end of stream": (UNCLOSED, ""),
}


def unclosed_quote(index: int) -> Broken:
    """A quote that is not closed where its value ends."""
    return Broken(index, UNCLOSED, mendable=False, repairable=True, is_sure=True)


def unclosed_bracket(index: int, opened: int, origin: Origin) -> Broken:
    """A ``{`` or ``[`` that is not closed where its value ends."""
    return replace(_unclosed(index, opened, origin), is_sure=True)


def _unclosed(index: int, opened: int, origin: Origin) -> Broken:
    bracket, line = origin.text[opened : opened + 1], origin.place(opened).line
    what = f"`,` or the end of the `{bracket}` of line {line} should stand here"
    return Broken(index, what, opened=opened, repairable=True)


def explain(error: Exception, origin: Origin) -> Broken:
    """What a parser's error means, in the words of somebody who writes a configuration."""
    if isinstance(error, ReaderError):
        character = error.character
        shown = f"U+{character if isinstance(character, int) else ord(character):04X}"
        hint = "should be written as an escape in double quotes"
        return Broken(
            error.position, f"the character {shown} may not stand in YAML", hint, mendable=False, repairable=True
        )
    if not isinstance(error, MarkedYAMLError):
        return Broken(0, "this is not YAML", mendable=False)
    problem = str(error.problem or error.context or "this is not YAML").strip()
    mark = error.problem_mark or error.context_mark
    index = mark.index if mark is not None else 0
    opened = error.context_mark.index if error.context_mark is not None else index
    broken = _explained(problem, index, opened, origin)
    return replace(broken, quote=opened) if "quoted scalar" in str(error.context) else broken


def _explained(problem: str, index: int, opened: int, origin: Origin) -> Broken:
    if problem.startswith("mapping values") and (item := lacks_colon(origin.text, index)) is not None:
        return Broken(item, *_NO_COLON, mendable=False, repairable=True, is_sure=True)
    if problem in _PROBLEMS:
        what, hint = _PROBLEMS[problem]
        endless = problem == "found unexpected end of stream"
        key = problem == "could not find expected ':'"
        return Broken(opened if endless or key else index, what, hint, mendable=not endless, repairable=True)
    if problem.startswith("expected ',' or"):
        return _unclosed(index, opened, origin)
    if problem.startswith("found unknown escape character") and _ESCAPED.match(origin.text, opened):
        escape = origin.text[index - 1 : index + 1]
        hint = f"should be `\\{escape}`, or stand in single quotes"
        return Broken(index - 1, f"`{escape}` is no escape", hint, mendable=False, repairable=True)
    if problem.startswith("expected a comment or a line break"):
        mark = origin.text[opened : opened + 1]
        hint = f"what `{mark}` begins should stand on the lines below it; without `{mark}`, on this one"
        return Broken(index, f"text behind a `{mark}`", hint, repairable=True)
    if problem.startswith("expected <block end>"):
        return Broken(
            index, "this does not belong to what stands before it", "check quotes and indentation", repairable=True
        )
    return Broken(index, f"this is not YAML: {problem}", repairable=True)
