"""``sluiceway run --dry-run``: what the daemon would do with what is there, without doing it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer
import uvloop

from router.cli.dead import refuse
from router.cli.faults import load_or_exit, show
from router.config import Configuration
from router.dryrun import Account, DryRun, Unpeekable
from router.explanation.values import inert
from router.logs import configure
from router.preview.run import GATES_NOTE
from router.units import parse_duration
from rules.faults import Refused


def dry_run(
    files: Sequence[Path],
    log_level: str,
    log_format: str,
    *,
    seconds: str | None,
    most: int | None,
    consume: bool,
    as_json: bool,
) -> None:
    """Read until every source has ended, a signal comes, ``--for`` is over or there were ``--records``; then print the
    counts. Exit status 1 when a source could not be opened, 2 when one would notice, or for a refused configuration."""
    configuration = load_or_exit(files)
    try:
        limit = None if seconds is None else parse_duration(seconds)
    except ValueError as error:
        refuse(f"--for: {error}")
    configure(
        log_level, as_json=None if log_format == "auto" else log_format == "json", mask=configuration.secrets.mask
    )
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            account = runner.run(_run(configuration, limit, most, consume=consume))
    except Unpeekable as error:
        for name, why in error.why.items():
            print(f"sluiceway: source {name} ({configuration.sources[name].type}): {why}", file=sys.stderr)
        refuse(
            "a dry run would take records from these sources that nobody gets again; try them with `sluiceway diff "
            "--on FILE`, or read them all the same with --consume"
        )
    except Refused as refused:
        show(refused.faults)
        raise typer.Exit(2) from refused
    if as_json:
        print(json.dumps(account.as_json(), ensure_ascii=False))
    else:
        _print(configuration, account)
    raise typer.Exit(0 if account.is_connected else 1)


async def _run(configuration: Configuration, seconds: float | None, most: int | None, *, consume: bool) -> Account:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    run = DryRun(configuration, consume=consume, most=most)
    if seconds is not None:
        loop.call_later(seconds, stop.set)
    with _shown(run.account):
        return await run.run(stop)


@contextlib.contextmanager
def _shown(account: Account) -> Iterator[None]:
    """What shows how many records there were, on a terminal."""
    if not sys.stderr.isatty():
        print("dry run: reading; SIGINT or SIGTERM ends it", file=sys.stderr, flush=True)
        yield
        return
    from rich.console import Console
    from rich.status import Status

    async def count(status: Status) -> None:
        while True:
            status.update(f"dry run: {account.records:,} records; Ctrl-C ends it")
            await asyncio.sleep(0.2)

    with Status("dry run", console=Console(stderr=True)) as status:
        counting = asyncio.get_running_loop().create_task(count(status), name="count on the terminal")
        try:
            yield
        finally:
            counting.cancel()


def _print(configuration: Configuration, account: Account) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    for name, reading in account.sources.items():
        state = "ended" if reading.ended else configuration.secrets.mask(inert(reading.error)) or "open until the end"
        print(f"source {name}: {reading.records:,} record(s), {reading.bytes:,} byte(s); {state}")
    if sys.stdout.isatty():
        table = Table("flow", "to", "by rule", box=None, header_style="bold")
        table.add_column("records", justify="right")
        for count in account.counts:
            table.add_row(Text(count.flow), Text(count.label), Text(count.rule), f"{count.new:,}")
        Console().print(table)
    else:
        for count in account.counts:
            by = f" by {count.rule}" if count.rule else ""
            print(f"{count.flow} -> {count.label}{by}: {count.new}")
    if any(rule.gates for flow in configuration.flows for rule in flow.rules):
        print(f"note: {GATES_NOTE}")
    print(f"dry run: {account.records:,} record(s) decided; nothing was written or acknowledged, no sink was opened")
