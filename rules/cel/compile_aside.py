"""Compiling long code in a thread, without holding up the others.

CPython's ``compile`` keeps the interpreter for all of its time, which for the code of a thousand rules is a fifth of a
second: a loop that runs beside it stands still. In another process it takes no longer, and loading what it made takes
a hundredth of that.
"""

from __future__ import annotations

import marshal
import subprocess
import sys
import threading
from types import CodeType
from typing import Final

LONG: Final = 20_000
"""Characters from which on it is worth a process: they take about 4 ms, the process 15."""

_CHILD: Final = """\
import marshal, sys
source = sys.stdin.buffer.read().decode()
marshal.dump(compile(source, sys.argv[1], "exec", dont_inherit=True), sys.stdout.buffer)
"""


def compiled(source: str, file: str) -> CodeType:
    """A module compiled under the name ``file``: in place, or where there is a main thread to be held up, in a process
    of its own. Raises SyntaxError where CPython cannot."""
    elsewhere = len(source) >= LONG and threading.current_thread() is not threading.main_thread()
    code = _compiled_elsewhere(source, file) if elsewhere else None
    return code or compile(source, file, "exec", dont_inherit=True)


def _compiled_elsewhere(source: str, file: str) -> CodeType | None:
    """None where there can be no other process, or it fails: then whoever compiles in place learns why."""
    try:
        child = subprocess.run(  # noqa: S603 - this interpreter; what the rules say stands in no argument
            [sys.executable, "-I", "-S", "-c", _CHILD, file],
            input=source.encode(),
            capture_output=True,
            check=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    code = marshal.loads(child.stdout)  # noqa: S302 - this interpreter has made it from our own source
    return code if isinstance(code, CodeType) else None
