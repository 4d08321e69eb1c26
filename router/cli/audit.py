"""``sluiceway audit``: who did what to an instance, whether it runs or not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

import typer

from router.audit import ACTIONS, Wanted, find
from router.audit import verify as follow
from router.audit_chain import Checked, Entry
from router.cli.chosen import moment
from router.cli.faults import whereabouts_or_exit
from router.cli.lines import inert
from router.state import FILE, StateDir
from rules.suggest import did_you_mean

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Options:
    """Which entries, as it is said on the command line."""

    since: str | None
    until: str | None
    actions: Sequence[str]

    def wanted(self) -> Wanted:
        """What that means. Exit status 2 where it means nothing."""
        for action in self.actions:
            if action not in ACTIONS:
                hint = did_you_mean(action, ACTIONS) or f"there is {', '.join(ACTIONS)}"
                _refuse(f"--action: there is no action {action!r}; {hint}")
        since, until = moment(self.since, "--since"), moment(self.until, "--until")
        return Wanted(
            None if since is None else since / 1e9, None if until is None else until / 1e9, tuple(self.actions)
        )


def list_entries(files: Sequence[Path], options: Options, as_json: bool) -> None:
    """One line an entry; a table on a terminal."""
    wanted = options.wanted()
    with _state_of(files) as state:
        if state is None:
            return
        found = find(state, wanted)
        asyncio.run(_lines(found, as_json) if as_json or not sys.stdout.isatty() else _table(found))


def export(files: Sequence[Path], options: Options) -> None:
    """All of the entries, one JSON object a line."""
    wanted = options.wanted()
    with _state_of(files) as state:
        if state is not None:
            asyncio.run(_lines(find(state, wanted), as_json=True))


def verify(files: Sequence[Path], head: str | None, as_json: bool) -> None:
    """Follow the chain. Exit status 1 when it is broken, or does not hold ``head``."""
    if head is not None and not _HASH.fullmatch(head):
        _refuse(f"--head: {head!r} should be a hash as `sluiceway audit verify` prints it, 64 hexadecimal digits")
    with _state_of(files) as state:
        checked = Checked(0, None, "") if state is None else asyncio.run(follow(state, head))
    broken = checked.broken
    if not broken and head is not None and checked.found is None:
        broken = f"no entry has the hash {head}: entries at the end were removed, or all of it was written anew"
    if as_json:
        print(json.dumps(_told(checked, broken)))
    else:
        print(*_lines_of(checked, broken), sep="\n", file=sys.stderr if broken else sys.stdout)
    raise typer.Exit(1 if broken else 0)


def _told(checked: Checked, broken: str) -> dict[str, object]:
    last, found = checked.last, checked.found
    return {
        "ok": not broken,
        "broken": broken or None,
        "entries": checked.sound,
        "head": None if last is None else last.hash,
        "found": None if found is None else found.id,
    }


def _lines_of(checked: Checked, broken: str) -> Iterator[str]:
    last, found = checked.last, checked.found
    if broken:
        yield f"broken: {broken}"
        yield f"sound up to there: {checked.sound} entry(s)" + ("" if last is None else f", head {last.hash}")
    elif last is None:
        yield "ok: no entries"
    else:
        yield f"ok: {checked.sound} entry(s), the last of {last.time}"
        yield f"head {last.hash}"
        if found is not None:
            yield f"the head that was given is that of entry {found.id}; {last.id - found.id} came after it"


async def _lines(entries: AsyncIterator[Entry], as_json: bool) -> None:
    async for entry in entries:
        if as_json:
            print(json.dumps(_whole(entry), ensure_ascii=False))
        else:
            print(f"{entry.id} {entry.time} {entry.action} {inert(entry.actor)} {entry.version} {inert(entry.detail)}")


async def _table(entries: AsyncIterator[Entry]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("id", "time", "action", "actor", "version", "detail", box=None, header_style="bold")
    async for entry in entries:
        texts = (Text(inert(text)) for text in (entry.action, entry.actor, entry.version, entry.detail[:1000]))
        table.add_row(str(entry.id), entry.time[:19], *texts)
    Console().print(table if table.row_count else "no entries")


def _whole(entry: Entry) -> dict[str, object]:
    """An entry as JSON values; where its detail is no JSON, because somebody changed it, as text."""
    with contextlib.suppress(ValueError):
        return entry.as_json()
    return asdict(entry)


@contextlib.contextmanager
def _state_of(files: Sequence[Path]) -> Iterator[StateDir | None]:
    """The state folder; None when no daemon has run with it yet."""
    folder = whereabouts_or_exit(files, with_token=False).state_dir
    if not (folder / FILE).exists():
        yield None
        return
    with StateDir.visit(folder) as state:
        yield state


def _refuse(message: str) -> NoReturn:
    """Wrong usage: exit status 2."""
    print(f"sluiceway: {message}", file=sys.stderr)
    raise typer.Exit(2)
