"""The command ``sluiceway``: its commands and their options. What each does is in the module of its name.

Modules are imported by the command that needs them: starting costs users, too.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from router.cli.completion import flow_names, sink_names, source_names
from router.cli.options import AsJson, Configs, expanded, paths
from router.cli.running import running

if TYPE_CHECKING:
    from router.cli.chosen import Chosen  # only the commands about dead letters need the store
else:
    Chosen = Any  # typer looks at the types of parameters, not at this one

app = typer.Typer(
    name="sluiceway",
    help="An event-driven streaming data router: contracts, rules in CEL, every record accounted for.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
dead = typer.Typer(
    help="Dead letters: see, repair, replay and purge them. Works while the daemon runs and while it does not.",
    no_args_is_help=True,
)
app.add_typer(dead, name="dead")
audit = typer.Typer(
    help="The audit: who started, stopped, reloaded, paused, replayed and purged, in a table that only grows.",
    no_args_is_help=True,
)
app.add_typer(audit, name="audit")
app.add_typer(running)

FlowOption = Annotated[str | None, typer.Option(help="Only those of this flow.", autocompletion=flow_names)]
Everything = Annotated[bool, typer.Option("--all", help="All of them.")]


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        from router.metrics import version as installed

        print(f"sluiceway {installed()}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where to put it; made if it is not there.")] = Path(),
) -> None:
    """Write a working example to start from."""
    from router.cli.init import init as command

    command(folder)


@app.command()
def run(
    config: Configs = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    log_format: Annotated[str, typer.Option(help="auto, console or json; auto is console on a terminal.")] = "auto",
    watch: Annotated[bool, typer.Option(help="Reload when a file of the configuration changes.")] = True,
    dry: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Read the sources and decide, but deliver and acknowledge nothing; print the counts at the end.",
        ),
    ] = False,
    seconds: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="With --dry-run: end after that, such as 30s.")
    ] = None,
    records: Annotated[int | None, typer.Option(min=1, help="With --dry-run: end after so many records.")] = None,
    consume: Annotated[
        bool,
        typer.Option(
            "--consume", help="With --dry-run: also read sources of which others then do not get the records."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: the counts as one JSON value.")] = False,
) -> None:
    """Run until SIGTERM or SIGINT; ends by itself, drained, when every source has ended.

    The first signal stops reading, delivers what was read and acknowledges it; a second one ends at once. SIGHUP reads
    the files again, and what they say is taken over if all of it is right.
    """
    if dry:
        from router.cli.dryrun import dry_run

        dry_run(paths(config), log_level, log_format, seconds=seconds, most=records, consume=consume, as_json=as_json)
        return
    if seconds is not None or records is not None or consume or as_json:
        raise typer.BadParameter("--for, --records, --consume and --json go with --dry-run")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # it would end the process; it waits until it is handled
    from router.cli.run import run as command

    command(paths(config), log_level, log_format, watch)


@app.command()
def check(
    config: Configs = None,
    as_json: AsJson = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse what is probably not meant, too.")] = False,
) -> None:
    """Report every fault of a configuration, each with its place, and what is probably not meant.

    Exit status 2 when there are faults; with --strict, also when there are warnings.
    """
    from router.cli.check import check as command

    command(paths(config), as_json, strict)


@app.command(name="test")
def verify(
    config: Configs = None,
    flow: FlowOption = None,
    junit: Annotated[Path | None, typer.Option(help="Write the results as JUnit XML to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the tests inside the rules files. Exit status 1 when one fails."""
    from router.cli.test import verify as command

    command(paths(config), flow, junit, as_json)


@app.command(name="explain")
def explain(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CONFIG|FLOW",
            help="The daemon's files, ./sluiceway.yaml without any: what ends in .yaml, .yml or .json, or has a / in "
            "it. The flow: anything else. It may be left out where there is but one, or --source or --dead tells it.",
            autocompletion=flow_names,
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(metavar="PATH[:LINE]", help="A line of this file, or its first lines, in the place of stdin."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many records of --file PATH, or of CSV.")] = 10,
    letter: Annotated[int | None, typer.Option("--dead", metavar="ID", help="The record of this dead letter.")] = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="The source that the record is from; without it, the first one that FLOW reads.",
            autocompletion=source_names,
        ),
    ] = None,
    key: Annotated[str | None, typer.Option(help="The record's key.")] = None,
    header: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A header; may be repeated.")] = None,
    meta: Annotated[
        str | None,
        typer.Option(metavar="JSON", help='What else the source would know, such as \'{"topic": "orders"}\'.'),
    ] = None,
    brief: Annotated[bool, typer.Option("--brief", help="Leave out the rules that do not match.")] = False,
    code: Annotated[
        bool, typer.Option("--code", help="Print the Python that the flow is compiled to, and read no record.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Explain why a record goes where it goes: each check, rule and sub-expression with its value, and what changed.

    The record is all of stdin, a line of a file, or a dead letter. Nothing is delivered.
    """
    from router.cli.explain import Wanted
    from router.cli.explain import explain as command

    command(
        arguments or [],
        Wanted(
            file=file, dead=letter, source=source, meta=meta, key=key, headers=header or (), limit=limit, brief=brief,
            code=code, as_json=as_json,
        ),
    )  # fmt: skip


@app.command()
def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The daemon's file as it is; several: a.yaml,b.yaml.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The daemon's file as it is to be; several likewise.")],
    on: Annotated[
        str,
        typer.Option(
            metavar="FILE|live|dead",
            help="The records: of a file (`-` for stdin; one named live is ./live), some that flow through the "
            "daemon now, or the dead letters of OLD.",
        ),
    ],
    flow: Annotated[str | None, typer.Option(help="The flow that the records of FILE are for.")] = None,
    source: Annotated[
        str | None, typer.Option(help="The source that they are from, and framed by; the first of the flow without it.")
    ] = None,
    meta: Annotated[
        str | None,
        typer.Option(metavar="JSON", help='What the source would know of each, such as \'{"topic": "orders"}\'.'),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Explain at most so many records of each group.")] = 3,
    most: Annotated[int | None, typer.Option(min=1, help="Look at so many records at most.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON value, for tools.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 when a record would move or go out changed.")
    ] = False,
    url: Annotated[
        str | None, typer.Option(help="Where the daemon of `live` is, if it is not to be taken from OLD.")
    ] = None,
    token: Annotated[str | None, typer.Option(envvar="SLUICEWAY_TOKEN", help="Its `http.token`, likewise.")] = None,
    ca: Annotated[Path | None, typer.Option(help="A file of certificates (PEM) that vouch for the daemon.")] = None,
    cert: Annotated[
        Path | None, typer.Option(help="Our own certificate (PEM), for a daemon that asks for one.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Its private key (PEM), if it is not in the file of --cert.")] = None,
) -> None:
    """Compare what two configurations do with the same records: who gets how many, and which records would move, or go
    out changed, and why. Nothing is written or sent; gates begin anew.
    """
    from router.cli.diff import Asked
    from router.cli.diff import diff as command
    from router.cli.reach import Reach

    files = [Path(part) for part in old.split(",")]
    command(
        files,
        [Path(part) for part in new.split(",")],
        Asked(
            on=on, flow=flow, source=source, meta=meta, limit=limit, most=most, as_json=as_json, exit_code=exit_code,
            reach=Reach(files, url, token, ca, cert, key),
        ),
    )  # fmt: skip


@app.command(name="eval", context_settings={"ignore_unknown_options": True})
def evaluate(
    expression: Annotated[str, typer.Argument(metavar="EXPR", help="A CEL expression.")],
    event: Annotated[str | None, typer.Option(help="The event, as JSON; `-` reads it from stdin.")] = None,
    meta: Annotated[str | None, typer.Option(help="What the source knows of it, as JSON.")] = None,
) -> None:
    """Evaluate a CEL expression and print its value as JSON. Exit status 1 when it errs, 2 when it is no CEL."""
    from router.cli.evaluate import evaluate as command

    command(expression, event, meta)


@app.command()
def connectors(
    name: Annotated[str | None, typer.Argument(help="Show all about this one.")] = None,
    common: Annotated[
        bool, typer.Option("--common", help="The settings that every source and every sink takes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What is installed; of one, its settings, guarantee, an example and its metrics."""
    from router.cli.connectors import connectors as command

    command(name, common, as_json)


@app.command()
def schema(kind: Annotated[str, typer.Argument(metavar="config|rules", help="Which kind of file.")]) -> None:
    """Print the JSON Schema of a kind of file, for editors."""
    from router.cli.schema import schema as command

    command(kind)


def _filters(
    flow: FlowOption = None,
    stage: Annotated[
        list[str] | None, typer.Option(help="Only those of this stage: decode, contract, rule, sink; may be repeated.")
    ] = None,
    sink: Annotated[
        list[str] | None, typer.Option(help="Only those for this sink; may be repeated.", autocompletion=sink_names)
    ] = None,
    rule: Annotated[list[str] | None, typer.Option(help="Only those of this rule; may be repeated.")] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(help="Only those from this source; may be repeated.", autocompletion=source_names),
    ] = None,
    reason: Annotated[list[str] | None, typer.Option(help="Only those with this reason; may be repeated.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only those since then: a time (RFC 3339) or an age (10m, 2h).")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only those before then: a time or an age.")] = None,
    when: Annotated[
        str | None,
        typer.Option(
            metavar="CEL", help="Only those of which this is true; sees event, meta, reason, detail and so on."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many, the oldest first.")] = None,
    ids: Annotated[
        list[int] | None, typer.Option("--id", help="Only the letter with this id; may be repeated.")
    ] = None,
) -> Chosen:
    """The letters that these options name."""
    from router.cli.chosen import Chosen

    return Chosen.by(
        since, until, when,
        flow=flow, stage=stage, sink=sink, rule=rule, source=source, reason=reason, limit=limit, ids=ids,
    )  # fmt: skip


filtered = expanded("chosen", _filters)
"""A command with every option of ``_filters`` in the place of its parameter ``chosen``."""


@dead.command(name="list")
@filtered
def dead_list(config: Configs = None, *, chosen: Chosen, as_json: AsJson = False) -> None:
    """List dead letters, the oldest first."""
    from router.cli.dead import list_letters

    list_letters(paths(config), chosen, as_json)


@dead.command(name="show")
def dead_show(
    letter: Annotated[int, typer.Argument(metavar="ID", help="The letter's id.")],
    config: Configs = None,
    as_json: AsJson = False,
) -> None:
    """Show all of one dead letter: what came, what should have gone out, and what went wrong."""
    from router.cli.dead import show_letter

    show_letter(paths(config), letter, as_json)


@dead.command(name="replay")
@filtered
def dead_replay(
    config: Configs = None,
    *,
    chosen: Chosen,
    everything: Everything = False,
    rate: Annotated[float | None, typer.Option(min=0.001, help="At most so many a second.")] = None,
    through_flow: Annotated[
        bool, typer.Option("--through-flow", help="Have those of stage sink, too, go by the rules as they are now.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count them, and say where they would go.")] = False,
    wait: Annotated[str, typer.Option(help="How long to wait when none of them moves.")] = "1m",
) -> None:
    """Replay dead letters: of stage sink straight to that sink, of any other through the flow.

    A running daemon replays them; without one this command does. Each goes when its delivery is durable; one that
    fails again stays, as a new letter with one attempt more. Interrupted, it leaves the rest where it is.
    """
    from router.cli.replay import replay_letters

    replay_letters(
        paths(config),
        chosen,
        everything=everything,
        wait=wait,
        rate=rate,
        through_flow=through_flow,
        dry_run=dry_run,
    )


@dead.command(name="amend")
def dead_amend(
    letter: Annotated[int, typer.Argument(metavar="ID", help="The letter's id.")],
    config: Configs = None,
    *,
    value: Annotated[str | None, typer.Option(help="The payload.")] = None,
    file: Annotated[
        Path | None, typer.Option(help="A file that holds the payload, byte for byte; - for stdin.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="The key.")] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE; may be repeated: all the headers that there are to be.")
    ] = None,
) -> None:
    """Repair a dead letter: a replay sends what is given here. At stage sink it takes the place of what was to go out,
    at any other of the record. What came first is kept in the letter, and `show` shows it.

    A letter that is to be replayed or moved already is left as it is, with exit status 1.
    """
    from router.cli.amend import amend_letter

    amend_letter(paths(config), letter, value=value, file=file, key=key, headers=header)


@dead.command(name="purge")
@filtered
def dead_purge(config: Configs = None, *, chosen: Chosen, everything: Everything = False) -> None:
    """Delete dead letters for good."""
    from router.cli.dead import purge_letters

    purge_letters(paths(config), chosen, everything)


Since = Annotated[str | None, typer.Option(help="Only those since then: a time (RFC 3339) or an age (10m, 2h).")]
Until = Annotated[str | None, typer.Option(help="Only those before then: a time or an age.")]
Actions = Annotated[
    list[str] | None, typer.Option("--action", help="Only those of this action, such as reload; may be repeated.")
]


@audit.command(name="list")
def audit_list(
    config: Configs = None,
    since: Since = None,
    until: Until = None,
    action: Actions = None,
    as_json: AsJson = False,
) -> None:
    """List what was done, the oldest first."""
    from router.cli.audit import Options, list_entries

    list_entries(paths(config), Options(since, until, action or ()), as_json)


@audit.command(name="export")
def audit_export(config: Configs = None, since: Since = None, until: Until = None, action: Actions = None) -> None:
    """Print the entries with their hashes, one JSON object a line, to be kept elsewhere."""
    from router.cli.audit import Options, export

    export(paths(config), Options(since, until, action or ()))


@audit.command(name="verify")
def audit_verify(
    config: Configs = None,
    head: Annotated[
        str | None,
        typer.Option(metavar="HASH", help="A hash that an earlier `verify` printed, and that must be there."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """See whether every entry is as it was written. Exit status 1, and the first one that is not.

    Whoever can write the file can take entries off its end, or write all of it anew, without a trace in it: keep the
    head that this prints somewhere else, and give it to --head.
    """
    from router.cli.audit import verify

    verify(paths(config), head, as_json)


def _occupy_standard_streams() -> None:
    """Where a standard stream is closed, put something in its place that is at its end and cannot be written to, or
    the next file or socket that is opened takes its number, and with it what is meant for the stream."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)


def main() -> None:
    """The entry point: runs the command, and shows an error of the router as its message, without a traceback."""
    from router.errors import SluicewayError

    _occupy_standard_streams()
    # What is imported stays: looking for cycles in it would be a third of the time that starting takes.
    gc.set_threshold(100_000, 50, 50)
    try:
        app()
    except SluicewayError as error:
        print(f"sluiceway: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
