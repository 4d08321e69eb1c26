"""``sluiceway dead``: dead letters, whether the daemon runs or not."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, get_args

import typer

from router.cli.faults import load_or_exit
from router.config import Configuration
from router.deadletters import DeadLetters, Letter, Stage, Where
from router.errors import StateError
from router.state import FILE, StateDir
from router.units import parse_duration

SHOWN = ("id", "time", "flow", "stage", "source", "rule", "sink", "reason", "detail", "attempts", "version", "value")
POLL_SECONDS = 0.2


def where(since: str | None, until: str | None, **exact: Any) -> Where:
    """The letters that the options name."""
    stages = get_args(Stage)
    for stage in exact.get("stage") or ():
        if stage not in stages:
            _exit(f"--stage: there is no stage {stage!r}; there is {', '.join(stages)}", 2)
    given = {name: value or None for name, value in exact.items()}
    return Where(since=_moment(since, "--since"), until=_moment(until, "--until"), **given)


def _see_that_it_is_meant(chosen: Where, everything: bool, action: str) -> None:
    """Deleting and replaying want to be told which: ``--all`` or a filter."""
    if not everything and chosen == Where():
        _exit(f"say which letters to {action}: a filter such as --flow, --sink or --id, or --all", 2)


def list_letters(files: Sequence[Path], chosen: Where, as_json: bool) -> None:
    """One line a letter; a table on a terminal."""
    with _letters(files) as letters:
        if letters is None:
            return
        if as_json or not sys.stdout.isatty():
            asyncio.run(_print_lines(letters, chosen, as_json))
        else:
            asyncio.run(_print_table(letters, chosen))


async def _print_lines(letters: DeadLetters, chosen: Where, as_json: bool) -> None:
    async for letter in letters.find(chosen):
        if as_json:
            whole = to_json(letter)
            print(json.dumps({name: whole[name] for name in SHOWN}, ensure_ascii=False))
        else:
            to = f" to {letter.sink}" if letter.sink else ""
            at = f" at {letter.rule}" if letter.rule else ""
            why = f"{letter.reason}: {_inert(letter.detail)}"
            print(f"{letter.id} {time_text(letter.time)} {letter.flow} {letter.stage}{at}{to} {why}")


async def _print_table(letters: DeadLetters, chosen: Where) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        "id", "time", "flow", "stage", "rule", "sink", "reason", "detail", "tries", box=None, header_style="bold"
    )
    async for letter in letters.find(chosen):
        row = (letter.flow, letter.stage, letter.rule, letter.sink, letter.reason, letter.detail[:200])
        texts = [Text(_inert(text)) for text in row]
        table.add_row(str(letter.id), time_text(letter.time)[:19], *texts, str(letter.attempts))
    Console().print(table if table.row_count else "no dead letters")


def show_letter(files: Sequence[Path], number: int, as_json: bool) -> None:
    """All of one letter. Exit status 1 when there is none with this id."""
    letter = find_letter(load_or_exit(files), number)
    whole = to_json(letter)
    if as_json:
        print(json.dumps(whole, ensure_ascii=False))
        return
    for name, value in whole.items():
        if value not in (None, "", {}, []):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            print(f"{name:>12}  {_inert(text)}")


def find_letter(configuration: Configuration, number: int) -> Letter:
    """The letter with this id. Exit status 1 when there is none."""
    with _letters_of(configuration) as letters:
        letter = asyncio.run(_one(letters, number)) if letters else None
    if letter is None:
        _exit(f"there is no dead letter {number}", 1)
    return letter


async def _one(letters: DeadLetters, number: int) -> Letter | None:
    async for letter in letters.find(Where(ids=[number])):
        return letter
    return None


def purge_letters(files: Sequence[Path], chosen: Where, everything: bool) -> None:
    """Delete; say how many."""
    _see_that_it_is_meant(chosen, everything, "purge")
    with _letters(files) as letters:
        print(f"purged {asyncio.run(letters.purge(chosen)) if letters else 0} dead letter(s)")


def replay_letters(files: Sequence[Path], chosen: Where, everything: bool, wait: str) -> None:
    """Have letters replayed by the daemon that runs; by this process when none does. Exit status 1 when some are
    still waiting, or have come back as letters of their own."""
    _see_that_it_is_meant(chosen, everything, "replay")
    try:
        patience = parse_duration(wait)
    except ValueError as error:
        _exit(f"--wait: {error}", 2)
    configuration = load_or_exit(files)
    try:
        state = StateDir.open(configuration.state_dir)
    except StateError:
        with StateDir.visit(configuration.state_dir) as state:
            requested, waiting, again = asyncio.run(_replay_there(state, chosen, patience))
    else:
        with state:
            requested, waiting, again = asyncio.run(_replay_here(configuration, state, chosen, patience))
    notes = (f", {again} failed again" if again else "") + (f", {waiting} still waiting" if waiting else "")
    print(f"replayed {requested - waiting - again} dead letter(s){notes}")
    raise typer.Exit(1 if waiting or again else 0)


@dataclass(frozen=True, slots=True)
class _Replay:
    """Letters whose replay was requested, by what tells them again."""

    since: int
    ids: list[int]
    kinds: Counter[tuple[str, bytes]]

    @classmethod
    async def request(cls, letters: DeadLetters, chosen: Where) -> _Replay:
        replay = cls(time.time_ns(), [], Counter())
        async for letter in letters.find(chosen):
            replay.ids.append(letter.id)
            replay.kinds[_kind(letter)] += 1
        await letters.request_replay(Where(ids=replay.ids))
        return replay

    async def waiting(self, letters: DeadLetters) -> int:
        """How many are still there."""
        return len([letter.id async for letter in letters.find(Where(ids=self.ids))])

    async def again(self, letters: DeadLetters) -> int:
        """How many have become letters of their own since."""
        came = Counter([_kind(letter) async for letter in letters.find(Where(since=self.since))])
        return (came & self.kinds).total()


def _kind(letter: Letter) -> tuple[str, bytes]:
    return letter.flow, hashlib.sha256(letter.value).digest()


async def _replay_here(
    configuration: Configuration, state: StateDir, chosen: Where, patience: float
) -> tuple[int, int, int]:
    """No daemon runs: replay in this process."""
    from router.daemon import Daemon

    letters = DeadLetters(state)
    replay = await _Replay.request(letters, chosen)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await Daemon(configuration).replay(state)
    return len(replay.ids), await replay.waiting(letters), await replay.again(letters)


async def _replay_there(state: StateDir, chosen: Where, patience: float) -> tuple[int, int, int]:
    """A daemon runs: ask it, and wait until the letters are gone."""
    letters = DeadLetters(state)
    replay = await _Replay.request(letters, chosen)
    deadline = time.monotonic() + patience
    while waiting := await replay.waiting(letters):
        if time.monotonic() >= deadline:
            break
        await asyncio.sleep(POLL_SECONDS)
    return len(replay.ids), waiting, await replay.again(letters)


@contextlib.contextmanager
def _letters(files: Sequence[Path]) -> Iterator[DeadLetters | None]:
    """The dead letters of a configuration; None when no daemon has run with it yet."""
    with _letters_of(load_or_exit(files)) as letters:
        yield letters


@contextlib.contextmanager
def _letters_of(configuration: Configuration) -> Iterator[DeadLetters | None]:
    if not (configuration.state_dir / FILE).exists():
        yield None
        return
    with StateDir.visit(configuration.state_dir) as state:
        yield DeadLetters(state)


def to_json(letter: Letter) -> dict[str, Any]:
    """A letter as JSON values: bytes as text where they are UTF-8, else as ``{"base64": ...}``."""
    return {
        "id": letter.id,
        "time": time_text(letter.time),
        "flow": letter.flow,
        "stage": letter.stage,
        "source": letter.source,
        "rule": letter.rule or None,
        "sink": letter.sink or None,
        "reason": letter.reason,
        "detail": letter.detail,
        "attempts": letter.attempts,
        "version": letter.version,
        "value": _bytes(letter.value),
        "key": _bytes(letter.key),
        "headers": _headers(letter.headers),
        "record_time": None if letter.record_time is None else time_text(letter.record_time),
        "attributes": _plain(letter.attributes),
        "out_value": _bytes(letter.out_value),
        "out_key": _bytes(letter.out_key),
        "out_headers": _headers(letter.out_headers),
        "out_settings": _plain(letter.out_settings),
    }


def _bytes(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _headers(headers: Sequence[tuple[str, bytes]] | None) -> Any:
    return None if headers is None else [[name, _bytes(value)] for name, value in headers]


def _plain(values: Mapping[str, object]) -> dict[str, Any]:
    return {name: _bytes(value) if isinstance(value, bytes) else value for name, value in values.items()}


def time_text(nanoseconds: int) -> str:
    """A moment, given in Unix nanoseconds, as people read it."""
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _inert(text: str) -> str:
    """A payload must not drive the terminal that it is shown on."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" if c not in "\n\t" else " " for c in text)


def _moment(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        return time.time_ns() - int(parse_duration(text) * 1e9)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        _exit(f"{option}: {text!r} should be a time such as 2026-01-31T12:00:00Z, or an age such as 10m", 2)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e9)


def _exit(message: str, status: int) -> NoReturn:
    print(f"sluiceway: {message}", file=sys.stderr)
    raise typer.Exit(status)
