"""``python tests/faults``: random faults for a time. ``python tests/faults kill``: one large file, many kills."""

from __future__ import annotations

import sys

import kill
import run

if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(kill.main(arguments[1:]) if arguments[:1] == ["kill"] else run.main(arguments))
