"""The commands about a daemon that runs, and their options. They ask it over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from router.cli.completion import flow_names, source_names
from router.cli.options import AsJson, Configs, expanded, paths

if TYPE_CHECKING:
    from router.cli.reach import Reach
else:
    Reach = Any  # typer looks at the types of parameters, not at this one

running = typer.Typer()
PANEL = "A running daemon"


def _reach(
    config: Configs = None,
    url: Annotated[
        str | None,
        typer.Option(help="Where the daemon is, such as http://127.0.0.1:9600; CONFIG is not read then."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="SLUICEWAY_TOKEN", help="Its `http.token`, if it is not to be taken from CONFIG."),
    ] = None,
    ca: Annotated[Path | None, typer.Option(help="A file of certificates (PEM) that vouch for the daemon.")] = None,
    cert: Annotated[
        Path | None, typer.Option(help="Our own certificate (PEM), for a daemon that asks for one.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Its private key (PEM), if it is not in the file of --cert.")] = None,
) -> Reach:
    """The daemon that these options name."""
    from router.cli.reach import Reach

    return Reach(paths(config), url, token, ca, cert, key)


reaching = expanded("reach", _reach)
"""A command with every option of ``_reach`` in the place of its parameter ``reach``."""


@running.command(name="status", rich_help_panel=PANEL)
@reaching
def show_status(
    *,
    reach: Reach,
    check: Annotated[bool, typer.Option("--check", help="Exit status 1 when something is down.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how a daemon is: each flow, source, sink and table, connected or why not, and what waits."""
    from router.cli.status import status

    status(reach, as_json, check)


@running.command(name="top", rich_help_panel=PANEL)
@reaching
def show_top(
    *,
    reach: Reach,
    interval: Annotated[float, typer.Option(min=0.2, max=3600, help="Seconds from one look to the next.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print the figures of one interval, and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Watch a daemon: rates, lag, queues and errors of sources, flows, rules and sinks, anew every second.

    Keys: left and right choose a table, s sorts it by the next figure, r reverses, f filters by name, up and down
    scroll, q quits.
    """
    from router.cli.top import top

    top(reach, interval=interval, once=once, as_json=as_json)


@running.command(name="tap", rich_help_panel=PANEL)
@reaching
def tap_flow(
    flow: Annotated[str, typer.Argument(metavar="FLOW", help="The flow.", autocompletion=flow_names)],
    *,
    reach: Reach,
    where: Annotated[
        str | None, typer.Option(metavar="CEL", help="Only records of which this is true; sees event, meta and vars.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many records.")] = None,
    as_json: AsJson = False,
) -> None:
    """Look at records of a flow as they pass, some of them where there are many, each with where it went and why."""
    from router.cli.tap import tap

    tap(reach, flow, where, limit, as_json)


@running.command(name="pause", rich_help_panel=PANEL)
@reaching
def pause_source(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The source.", autocompletion=source_names)],
    *,
    reach: Reach,
) -> None:
    """Read no more from a source, and close it, until `resume`; what was read is still delivered."""
    from router.cli.control import pause

    pause(reach, source)


@running.command(name="resume", rich_help_panel=PANEL)
@reaching
def resume_source(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The source.", autocompletion=source_names)],
    *,
    reach: Reach,
) -> None:
    """Read again from a source that was paused."""
    from router.cli.control import resume

    resume(reach, source)


@running.command(name="reload", rich_help_panel=PANEL)
@reaching
def reload_files(*, reach: Reach, as_json: AsJson = False) -> None:
    """Have a daemon take its files as they are now, and say what has changed.

    Exit status 2, with every fault, when it refuses them: it then runs on as it was.
    """
    from router.cli.control import reload

    reload(reach, as_json)
