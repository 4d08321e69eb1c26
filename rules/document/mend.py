"""Ways to put quotes round a value that YAML broke, such as ``when: "a" in b`` or ``when: !x``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rules.document.lines import closers
from rules.document.origin import Mend, Origin, quote

_KEY = re.compile(r"""(?:^|(?<=[\s{,]))(?:"[^"]*"|'[^']*'|[^\s"'{}\[\],#&*!|>%@`-][^"'{}\[\],#]*?):[ \t]+(?=\S)""")
_PATH = re.compile(r"""(?<=[\s{,])event[\w.]*(?:\[[^\[\]{}]*\][\w.]*)+(?=:\s)""")
"""A path as a key: inside ``{...}``, YAML takes its brackets for a list."""
_MAPPINGS = frozenset({"contract", "expect", "headers", "let", "otherwise", "set", "split"})
"""Keys whose value is never one text, so that to quote it whole would only be the next mistake."""
_OPENING = "([{"
_CLOSING = ")]}"


def mends(origin: Origin, index: int, *, flow: bool) -> Iterator[Mend]:
    """Every path as a key and then every value on the line around ``index`` that begins before it, put into quotes:
    the innermost first. With ``flow`` they are parts of a ``{...}``, else a value is the rest of its line."""
    start, end = origin.line_bounds(index)
    line = origin.text[start:end]
    for path in _PATH.finditer(line):
        if flow and start + path.start() <= index:
            yield Mend(start + path.start(), start + path.end(), quote(path[0]), "")
    for key in reversed(list(_KEY.finditer(line))):
        begin = key.end()
        if start + begin > index or key[0].rstrip(": \t") in _MAPPINGS:
            continue
        stop = _value_end(line, begin, flow=flow)
        if _value_end(line[:stop], begin, flow=True, separators="") < stop:
            continue  # it closes what was opened before it, so that this is not where the value ends
        if stop > begin and not _is_other(line, begin, stop):
            yield Mend(start + begin, start + stop, quote(line[begin:stop]), key[0].rstrip())


def _is_other(line: str, begin: int, stop: int) -> bool:
    """Whether a value is a block scalar, or all of it a mapping or list, or one that is not closed: then what is wrong
    is inside it."""
    if line[begin] in "|>" or (line[begin] in "[{" and closers(line[begin:stop])):
        return True
    return line[begin] in "[{" and _value_end(line[:stop], begin + 1, flow=True, separators="") == stop - 1


def _value_end(line: str, begin: int, *, flow: bool, separators: str = ",") -> int:
    """Where a value ends: at the end of its line or before a comment, in a flow mapping before ``,`` or ``}`` too.
    Brackets and quotes hide what is in them."""
    depth = 0
    at = begin
    while at < len(line):
        character = line[at]
        if character in "\"'":
            at = _string_end(line, at)
            continue
        if character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth -= 1
        if flow and (depth < 0 or (depth == 0 and character in separators)):
            break
        if character == "#" and at > begin and line[at - 1] in " \t":
            break
        at += 1
    return begin + len(line[begin:at].rstrip())


def _string_end(line: str, at: int) -> int:
    """The index past a CEL string; of one that is not closed, past its quote."""
    mark = line[at]
    end = at + 1
    while end < len(line):
        if line[end] == "\\":
            end += 2
            continue
        if line[end] == mark:
            return end + 1
        end += 1
    return at + 1
