"""``sluiceway dead amend``: a dead letter is repaired, whether the daemon runs or not."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from router.audit import Audit, os_user
from router.batch import Headers
from router.cli.dead import find_letter, letters_of, refuse
from router.cli.faults import load_or_exit
from router.config import Configuration
from router.deadletters import DeadLetters
from router.letter import Letter
from router.letter_amendment import Amendment, OnItsWay
from router.storable import tame_text


def amend_letter(
    files: Sequence[Path],
    number: int,
    *,
    value: str | None,
    file: Path | None,
    key: str | None,
    headers: Sequence[str] | None,
) -> None:
    """Change what a replay sends. Exit status 1 when there is no such letter, or it is on its way."""
    if value is not None and file is not None:
        refuse("--value and --file: the payload should be given once")
    # The bytes of an argument are those that were given, whether they are text or not.
    given = _read(file) if file is not None else None if value is None else os.fsencode(value)
    amendment = Amendment(given, None if key is None else os.fsencode(key), _headers(headers))
    if amendment == Amendment():
        refuse("say what to change: --value, --file, --key or --header")
    configuration = load_or_exit(files)
    letter = find_letter(configuration, number)
    with letters_of(configuration) as letters:
        try:
            if letters is not None:
                asyncio.run(_amend(letters, configuration, letter, amendment))
        except (OnItsWay, LookupError) as error:
            print(f"sluiceway: {error}", file=sys.stderr)
            raise typer.Exit(1) from error
    print(f"amended dead letter {number}; `sluiceway dead replay --id {number}` sends it")


async def _amend(letters: DeadLetters, configuration: Configuration, letter: Letter, amendment: Amendment) -> None:
    """Nothing is changed unless the audit says so."""
    audit = Audit(letters.state, lambda: configuration.version, configuration.secrets.mask)
    await letters.amend(letter.id, amendment, audit.writing("amend", os_user(), amendment.told(letter)))


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        refuse(f"--file: {file} cannot be read: {error.strerror}")


def _headers(texts: Sequence[str] | None) -> Headers | None:
    found = []
    for text in texts or ():
        name, mark, content = text.partition("=")
        if not mark or not name:
            refuse(f"--header: {text!r} should be NAME=VALUE")
        found.append((tame_text(name), os.fsencode(content)))
    return found or None
