"""``sluiceway dead``: dead letters, whether the daemon runs or not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import typer

from router.audit import Audit, os_user
from router.cli.chosen import Chosen
from router.cli.faults import load_or_exit
from router.cli.lines import inert
from router.config import Configuration
from router.deadletters import DeadLetters
from router.letter import SUMMARY, Letter, time_text
from router.letter import as_json as values_of
from router.letter_filter import Where
from router.redaction import Redaction
from router.state import FILE, StateDir


def see_that_it_is_meant(chosen: Chosen, everything: bool, action: str) -> None:
    """Deleting and replaying want to be told which: ``--all`` or a filter."""
    if not everything and chosen.is_everything:
        refuse(f"say which letters to {action}: a filter such as --flow, --sink or --id, or --all")


def list_letters(files: Sequence[Path], chosen: Chosen, as_json: bool) -> None:
    """One line a letter; a table on a terminal."""
    configuration = load_or_exit(files)
    with letters_of(configuration) as letters:
        if letters is None:
            return
        found = chosen.find(letters, configuration)
        if as_json:
            asyncio.run(_print_json(found))
            return
        redaction = Redaction(configuration)
        asyncio.run((_print_table if sys.stdout.isatty() else _print_lines)(found, redaction))


async def _print_json(letters: AsyncIterator[Letter]) -> None:
    async for letter in letters:
        whole = values_of(letter)
        print(json.dumps({name: whole[name] for name in SUMMARY}, ensure_ascii=False))


async def _print_lines(letters: AsyncIterator[Letter], redaction: Redaction) -> None:
    async for letter in letters:
        to = f" to {letter.sink}" if letter.sink else ""
        at = f" at {letter.rule}" if letter.rule else ""
        why = f"{letter.reason}: {inert(redaction.detail(letter))}"
        print(f"{letter.id} {time_text(letter.time)} {letter.flow} {letter.stage}{at}{to} {why}")


async def _print_table(letters: AsyncIterator[Letter], redaction: Redaction) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        "id", "time", "flow", "stage", "rule", "sink", "reason", "detail", "tries", box=None, header_style="bold"
    )
    async for letter in letters:
        row = (letter.flow, letter.stage, letter.rule, letter.sink, letter.reason, redaction.detail(letter)[:200])
        texts = [Text(inert(text)) for text in row]
        table.add_row(str(letter.id), time_text(letter.time)[:19], *texts, str(letter.attempts))
    Console().print(table if table.row_count else "no dead letters")


def show_letter(files: Sequence[Path], number: int, as_json: bool) -> None:
    """All of one letter. Exit status 1 when there is none with this id."""
    letter = find_letter(load_or_exit(files), number)
    whole = values_of(letter)
    if as_json:
        print(json.dumps(whole, ensure_ascii=False))
        return
    for name, value in whole.items():
        if value not in (None, "", {}, []):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            print(f"{name:>12}  {inert(text)}")


def find_letter(configuration: Configuration, number: int) -> Letter:
    """The letter with this id. Exit status 1 when there is none."""
    with letters_of(configuration) as letters:
        letter = asyncio.run(_one(letters, number)) if letters else None
    if letter is None:
        print(f"sluiceway: there is no dead letter {number}", file=sys.stderr)
        raise typer.Exit(1)
    return letter


async def _one(letters: DeadLetters, number: int) -> Letter | None:
    async for letter in letters.find(Where(ids=[number])):
        return letter
    return None


def purge_letters(files: Sequence[Path], chosen: Chosen, everything: bool) -> None:
    """Delete; say how many."""
    see_that_it_is_meant(chosen, everything, "purge")
    configuration = load_or_exit(files)
    with letters_of(configuration) as letters:
        purged = asyncio.run(_purge(letters, chosen, configuration)) if letters else 0
    print(f"purged {purged} dead letter(s)")


async def _purge(letters: DeadLetters, chosen: Chosen, configuration: Configuration) -> int:
    """Nothing goes unless the audit says so; how many went is told there, too."""
    audit = Audit(letters.state, lambda: configuration.version, configuration.secrets.mask)
    which = {"letters": chosen.as_json() or "all"}
    purged = await letters.purge(
        chosen.pages(letters, configuration), audit.writing("purge", os_user(), {"step": "begun", **which})
    )
    if purged:
        await audit.record("purge", os_user(), {"step": "ended", "purged": purged})
    return purged


@contextlib.contextmanager
def letters_of(configuration: Configuration) -> Iterator[DeadLetters | None]:
    """The dead letters of a configuration; None when no daemon has run with it yet."""
    if not (configuration.state_dir / FILE).exists():
        yield None
        return
    with StateDir.visit(configuration.state_dir) as state:
        yield DeadLetters(state)


def refuse(message: str) -> NoReturn:
    """Wrong usage: exit status 2."""
    print(f"sluiceway: {message}", file=sys.stderr)
    raise typer.Exit(2)
