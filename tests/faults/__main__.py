"""``python tests/faults``: random faults for a time. ``kill``: one large file, many kills. ``fuzz-http``: malformed
requests in great number. ``kill-http``: clients that post with retries, many kills."""

from __future__ import annotations

import sys

import fuzz_http
import kill
import kill_http
import run

MAINS = {"kill": kill.main, "fuzz-http": fuzz_http.main, "kill-http": kill_http.main}

if __name__ == "__main__":
    name, *rest = sys.argv[1:] or [""]
    sys.exit(MAINS[name](rest) if name in MAINS else run.main(sys.argv[1:]))
