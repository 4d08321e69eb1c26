"""The spot where a text stops to be YAML, in the words of somebody who writes a configuration."""

from __future__ import annotations

from dataclasses import dataclass

from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from rules.document.origin import Mend, Origin
from rules.faults import Fault


@dataclass(frozen=True, slots=True)
class Broken:
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


_TAB = ("a tab", "YAML indents with spaces")
_PROBLEMS = {
    "mapping values are not allowed here": ("`: ` inside a value makes YAML read a mapping", ""),
    "found character '\\t' that cannot start any token": _TAB,
    "could not find expected ':'": ("a key without `:`", "should be `key: value`"),
    "found unexpected end of stream": ("a quote is opened and never closed", ""),
}


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
    return _explained(problem, index, opened, origin)


def _explained(problem: str, index: int, opened: int, origin: Origin) -> Broken:
    if problem in _PROBLEMS:
        what, hint = _PROBLEMS[problem]
        endless = problem == "found unexpected end of stream"
        key = problem == "could not find expected ':'"
        return Broken(opened if endless or key else index, what, hint, mendable=not endless, repairable=True)
    if problem.startswith("expected ',' or"):
        bracket = origin.text[opened : opened + 1]
        line = origin.place(opened).line
        return Broken(
            index, f"`,` or the end of the `{bracket}` of line {line} should stand here", opened=opened, repairable=True
        )
    if problem.startswith("expected a comment or a line break"):
        mark = origin.text[opened : opened + 1]
        hint = f"what `{mark}` begins should stand on the lines below it; without `{mark}`, on this one"
        return Broken(index, f"text behind a `{mark}`", hint, repairable=True)
    if problem.startswith("expected <block end>"):
        return Broken(
            index, "this does not belong to what stands before it", "check quotes and indentation", repairable=True
        )
    return Broken(index, f"this is not YAML: {problem}", repairable=True)
