"""Long code is compiled to the same in a thread as in the main one, where it is another process that compiles it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import CodeType

import pytest

from rules.cel.compile_aside import LONG, compiled

SOURCE = "def answer():\n" + "".join(f"    x{n} = 'ü' * {n}\n" for n in range(LONG // 10)) + "    return 42\n"


def _in_a_thread(work: Callable[[str, str], CodeType], *args: str) -> CodeType:
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(work, *args).result()


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is there once another interpreter has been started."""
    seen, python = tmp_path / "started", tmp_path / "python"
    python.write_text(f'#!/bin/sh\ntouch {seen}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    return seen


def test_it_is_the_same_code_whichever_process_compiles_it(started: Path) -> None:
    here = compiled(SOURCE, "<so>")
    assert not started.exists()
    assert _in_a_thread(compiled, SOURCE, "<so>") == here
    assert started.exists()


def test_no_process_is_started_for_what_is_short(started: Path) -> None:
    assert _in_a_thread(compiled, "answer = 42\n", "<so>") == compiled("answer = 42\n", "<so>")
    assert not started.exists()


def test_code_that_cannot_be_compiled_is_refused_in_a_thread_as_well() -> None:
    with pytest.raises(SyntaxError, match="never closed"):
        _in_a_thread(compiled, SOURCE + "(", "<so>")


def test_without_another_process_it_is_compiled_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert _in_a_thread(compiled, SOURCE, "<so>").co_filename == "<so>"
