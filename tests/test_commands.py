"""What is forked is what the console script would be."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.commands import SLUICEWAY, Command, sluiceway


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["--version"], 0), (["eval", "event.n", "--event", "-"], 0), (["dead", "list"], 2), (["eval", "[1][2]"], 1)],
)
def test_it_says_the_same_and_ends_the_same(tmp_path: Path, arguments: list[str], status: int) -> None:
    real = subprocess.run(
        [SLUICEWAY, *arguments],
        cwd=tmp_path,
        input='{"n": "é"}',
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    forked = sluiceway(*arguments, cwd=tmp_path, given='{"n": "é"}')
    assert (forked.returncode, forked.stdout, forked.stderr) == (real.returncode, real.stdout, real.stderr)
    assert real.returncode == status


def test_a_signal_ends_it_as_it_ends_any_process(tmp_path: Path) -> None:
    for number in (signal.SIGKILL, signal.SIGTERM):
        with Command("eval", "event", "--event", "-", cwd=tmp_path, stdin=subprocess.PIPE) as waiting:
            assert waiting.poll() is None
            waiting.send_signal(number)
            assert waiting.wait(30) == -number
