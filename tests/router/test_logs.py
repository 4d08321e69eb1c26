"""Logs are one JSON object a line where no person watches, and what repeats is said to repeat."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

from router.logs import RepeatFilter


def test_off_a_terminal_every_line_on_stderr_is_json() -> None:
    program = (
        "import logging; from router.logs import configure; configure('info')\n"
        "log = logging.getLogger('router.test')\n"
        "log.info('sink %s: é\\n', 'vip'); log.debug('hidden')\n"
        "logging.getLogger('watchfiles.main').info('1 change detected')\n"
        "try: 1 / 0\nexcept ZeroDivisionError: log.exception('failed')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["message"] for line in lines] == ["sink vip: é\n", "failed"]
    assert (lines[0]["level"], lines[0]["logger"]) == ("info", "router.test")
    assert "ZeroDivisionError" in lines[1]["exception"]
    assert done.stdout == ""


def test_what_must_not_be_shown_is_masked_in_messages_and_tracebacks() -> None:
    program = (
        "import logging; from router.logs import configure\n"
        "configure('info', mask=lambda text: text.replace('hunter2', '***'))\n"
        "try: raise ValueError('password hunter2')\nexcept ValueError: logging.exception('with %s', 'hunter2')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    line = json.loads(done.stderr)
    assert line["message"] == "with ***"
    assert "password ***" in line["exception"]
    assert "hunter2" not in done.stderr.replace("replace('hunter2'", "")


def test_repeats_are_kept_back_and_counted() -> None:
    repeats = RepeatFilter(seconds=0.0, burst=2)
    records = [logging.LogRecord("x", logging.ERROR, "", 0, "sink %s is down", ("a",), None) for _ in range(3)]
    assert all(repeats.filter(record) for record in records), "a window of no length keeps nothing back"
    repeats = RepeatFilter(seconds=3600.0, burst=2)
    shown = [repeats.filter(logging.LogRecord("x", logging.WARNING, "", 0, "down %s", (i,), None)) for i in range(5)]
    assert shown == [True, True, False, False, False]
    told = [repeats.filter(logging.LogRecord("x", logging.INFO, "", 0, "up %s", (i,), None)) for i in (1, 2, 3, 3, 3)]
    assert told == [True, True, True, True, False], "what is no trouble repeats only if it says the same"
    assert repeats.filter(logging.LogRecord("x", logging.INFO, "", 0, "another", (), None))
