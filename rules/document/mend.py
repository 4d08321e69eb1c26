"""Ways to put quotes round a value that YAML broke, such as ``when: "a" in b`` or ``when: !x``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rules.document.origin import Mend, Origin, quote

_KEY = re.compile(r"""(?:^|(?<=[\s{,]))(?:"[^"]*"|'[^']*'|[^\s"'{}\[\],#&*!|>%@`-][^"'{}\[\],#]*?):[ \t]+(?=\S)""")
_OPENING = "([{"
_CLOSING = ")]}"


def mends(origin: Origin, index: int) -> Iterator[Mend]:
    """Every value on the line around ``index`` that begins before it, put into quotes: the innermost first, and each
    once as part of a ``{...}`` and once as the rest of its line."""
    start, end = origin.line_bounds(index)
    line = origin.text[start:end]
    for key in reversed(list(_KEY.finditer(line))):
        begin = key.end()
        if start + begin > index:
            continue
        seen = set()
        for flow in (True, False):
            stop = _value_end(line, begin, flow=flow)
            if stop > begin and stop not in seen and not line.startswith(("|", ">"), begin):
                seen.add(stop)
                yield Mend(start + begin, start + stop, quote(line[begin:stop]), key[0].rstrip())


def _value_end(line: str, begin: int, *, flow: bool) -> int:
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
        if flow and (depth < 0 or (depth == 0 and character == ",")):
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
