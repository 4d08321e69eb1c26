"""``sluiceway run``: the daemon as a process."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import typer
import uvloop

from router.cli.faults import as_warning, load_or_exit, show
from router.config import Inputs
from router.daemon import Daemon
from router.logs import configure
from router.metrics import version
from router.notify import ServiceManager, headline
from rules.faults import Refused
from rules.flow import DROP


def run(files: Sequence[Path], log_level: str, log_format: str, watch: bool) -> None:
    """Load, run, and exit: 0 when everything that was read is settled, 1 otherwise, 2 for a refused configuration. With
    ``watch``, what its files say is taken over when they change."""
    inputs = Inputs()
    configuration = load_or_exit(files, inputs)
    daemon = Daemon(configuration, inputs if watch else None)
    as_json = None if log_format == "auto" else log_format == "json"
    configure(log_level, as_json=as_json, mask=daemon.masked)
    for warning in configuration.warnings:
        print(as_warning(warning), file=sys.stderr)
    _tame_collector()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            drained = runner.run(_serve(daemon))
    except Refused as refused:
        show(refused.faults)
        raise typer.Exit(2) from refused
    raise typer.Exit(0 if drained else 1)


def _tame_collector() -> None:
    """Batches are many objects that live briefly and hold no cycles: looking for cycles rarely saves a tenth of the
    time. What is loaded by now is hardly ever garbage, and looking for it would take a tenth of the time of starting.
    """
    gc.freeze()
    gc.set_threshold(200_000, 50, 50)


async def _serve(daemon: Daemon) -> bool:
    manager = ServiceManager.of(os.environ)
    loop = asyncio.get_running_loop()
    asked = False

    def on_signal() -> None:
        nonlocal asked
        if asked:
            print("sluiceway: a second signal: ending at once", file=sys.stderr, flush=True)
            os._exit(1)
        asked = True
        daemon.stop()
        manager.stopping()

    def on_reload() -> None:
        manager.reloading()
        daemon.request_reload("SIGHUP", manager.ready)

    def on_ready() -> None:
        _greet(daemon)
        manager.ready()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    loop.add_signal_handler(signal.SIGHUP, on_reload)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # one that came while everything was loaded counts
    telling = manager.keep_informed(lambda: daemon.phase, lambda: headline(daemon.status()))
    informing = loop.create_task(telling, name="service manager")
    try:
        return await daemon.run(on_ready)
    finally:
        informing.cancel()
        manager.stopping()
        manager.close()


def _greet(daemon: Daemon) -> None:
    """Say where to look, on stdout unless records go there."""
    configuration = daemon.configuration
    stream = sys.stderr if any(spec.type == "stdout" for spec in configuration.sinks.values()) else sys.stdout
    if stream is sys.stderr and not stream.isatty():
        return  # the log is JSON there
    lines = [f"Sluiceway {version()} is running: {', '.join(map(str, configuration.files))}"]
    for flow in configuration.flows:
        sinks = {target.sink: None for rule in flow.rules for target in rule.targets if target.sink != DROP}
        lines.append(f"  flow {flow.name}: {', '.join(name for name, _ in flow.sources)} -> {', '.join(sinks)}")
    if daemon.admin is not None:
        lines.append(f"  console  {daemon.admin.url}/")
        lines.append(f"  metrics  {daemon.admin.url}/metrics")
    command = "sluiceway" if shutil.which("sluiceway") else sys.argv[0]
    lines.append(f"  letters  {command} dead list {' '.join(map(str, configuration.files))}")
    for name, spec in configuration.sources.items():
        hint = spec.settings.hint() if spec.decode.type == "json" else ""  # the examples are JSON
        if hint:
            lines.append(f"  try source {name}:\n    {hint}")
    lines.append("  Ctrl-C stops it: what was read is delivered first.")
    print("\n".join(lines), file=stream, flush=True)
