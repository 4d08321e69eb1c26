"""Keys as they are pressed, without waiting for Enter."""

from __future__ import annotations

import codecs
import os
import re
import select
import sys
import termios
import tty
from types import TracebackType
from typing import Self

_KEYS = re.compile(r"\x1b(?:\[|O)(?P<letter>[A-DHF])|\x1b\[(?P<number>\d+)~|\x1b\[[0-9;]*[A-Za-z~]|\x1b|.", re.DOTALL)
_LETTERS = {"A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end"}
_NUMBERS = {"1": "home", "4": "end", "5": "page up", "6": "page down", "7": "home", "8": "end"}
_PLAIN = {"\r": "enter", "\n": "enter", "\x7f": "backspace", "\b": "backspace", "\x1b": "escape", "\t": "right"}


class Keyboard:
    """The terminal that standard input is, while the block runs."""

    def __init__(self) -> None:
        self._file = sys.stdin.fileno()
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._file)
        tty.setcbreak(self._file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)

    def wait(self, seconds: float) -> list[str]:
        """The keys that are pressed, as soon as one is, or none within so many seconds. Raises EOFError when the
        terminal is gone."""
        ready, _, _ = select.select([self._file], [], [], seconds)
        if not ready:
            return []
        pressed = os.read(self._file, 1024)
        if not pressed:
            raise EOFError
        return keys_in(self._decoder.decode(pressed))


def keys_in(text: str) -> list[str]:
    """The keys in what a terminal sends: characters, and names of those that send none, such as ``up``. What is not
    known is left out."""
    keys = []
    for found in _KEYS.finditer(text):
        if found["letter"]:
            keys.append(_LETTERS[found["letter"]])
        elif found["number"]:
            keys.append(_NUMBERS.get(found["number"], ""))
        elif len(found[0]) == 1:
            keys.append(_PLAIN.get(found[0], found[0] if found[0].isprintable() else ""))
    return [key for key in keys if key]
