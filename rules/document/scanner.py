"""The scanner of YAML's tokens, with the tabs that YAML 1.2 allows: wherever they do not indent (section 6.1, 6.2)."""

from __future__ import annotations

import re
from typing import Any

from ruamel.yaml.scanner import Scanner

from rules.document.lines import KEY

_DASHES = re.compile(r"(?:-|\s)*")
_BLANK = re.compile(r"[ \t]*(?:#|[\r\n\0]|$)")
_NESTED = re.compile(rf"[ \t]*(?:-\s|{KEY.pattern})", re.VERBOSE)
_HEADER = re.compile(r"[|>][-+\d]*[ \t]*\t[ \t]*")
_WHITE = " \t"


class TabScanner(Scanner):
    """Takes a tab for a space, except where it indents, and keeps it inside a text."""

    def scan_to_next_token(self) -> None:
        """Pass over white space, comments and line ends."""
        super().scan_to_next_token()
        while self.reader.peek() == "\t" and not self._indents():
            self.reader.forward(self._white())
            super().scan_to_next_token()

    def scan_plain_spaces(self, indent: Any, start_mark: Any) -> Any:
        """Read the white space behind a word of a text without quotes."""
        length = self._white()
        if "\t" not in self.reader.prefix(length):
            return super().scan_plain_spaces(indent, start_mark)
        white = self.reader.prefix(length)
        self.reader.forward(length)
        return super().scan_plain_spaces(indent, start_mark) or [white]

    def scan_block_scalar(self, style: Any, rt: bool | None = False) -> Any:
        """Read a text that stands on the lines below its mark."""
        text, at = self.reader.buffer, self.reader.pointer
        if header := _HEADER.match(text, at):
            self.reader.buffer = text[:at] + header[0].replace("\t", " ") + text[header.end() :]
        return super().scan_block_scalar(style, rt)

    def _indents(self) -> bool:
        """Whether white space here is the beginning of a line with content, or tells how deep a key or an item is that
        follows a dash on its line."""
        text, at = self.reader.buffer, self.reader.pointer
        before = text[at - self.reader.column : at]
        if _BLANK.match(text, at) or not _DASHES.fullmatch(before):
            return False
        return not before.strip() or _NESTED.match(text, at) is not None

    def _white(self) -> int:
        length = 0
        while self.reader.peek(length) in _WHITE:
            length += 1
        return length
