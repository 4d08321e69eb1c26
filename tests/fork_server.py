"""A process that has imported what every command needs, and is forked for each: importing takes a second, forking none.

What is forked is a process like any other: with standard streams, a folder, an environment and signals of its own. It
runs by the entry point of the console script, and ends like it: threads are waited for, what was registered for the
end is done, only what was imported is not taken apart. ``tests.commands`` starts this, and asks it.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import sys
from typing import Any

PACKAGES = ("rules", "router", "connectors")
LAZY = ("jsonschema_rs", "typer.rich_utils", "rich.traceback", "rich.table", "rich.live")
"""What the libraries import only once they are used."""

status = 0
"""How this process is going to end."""


@atexit.register  # the first that is registered is the last that is called
def leave() -> None:
    """End at once: to free each object of each module would take longer than most commands do."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def load() -> None:
    """Import all that a command may need. What is loaded is no garbage, and no process looks at it."""
    for package in map(importlib.import_module, PACKAGES):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    for name in LAZY:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def serve(asks: socket.socket) -> dict[str, Any] | None:
    """Fork for each ask, and tell who asked the process and how it ends, until nobody can ask any more. Returns in a
    process that is to be a command, with the order for it."""
    running: dict[int, tuple[int, int]] = {}  # the file that tells the end of a process: the process, and whom to tell
    while True:
        ready, _, _ = select.select([asks.fileno(), *running], [], [])
        for ended in set(ready) & set(running):
            child, tell = running.pop(ended)
            _, how = os.waitpid(child, 0)
            _tell(tell, os.waitstatus_to_exitcode(how))
            _close(ended, tell)
        if asks.fileno() in ready:
            said, descriptors, _, _ = socket.recv_fds(asks, 1 << 20, 4)
            if not said:
                return None
            tell, *streams = descriptors
            child = os.fork()
            if child == 0:
                asks.close()
                _close(tell, *running, *(other for _, other in running.values()))
                for number, stream in enumerate(streams):
                    os.dup2(stream, number)
                _close(*streams)
                order: dict[str, Any] = json.loads(said)
                return order
            running[os.pidfd_open(child)] = child, tell
            _tell(tell, child)
            _close(*streams)


def _tell(descriptor: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # whoever asked does not want to know
        os.write(descriptor, b"%d\n" % number)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def become(order: dict[str, Any]) -> None:
    """Be the console script with this command line, folder and environment."""
    global status
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = order["command"]
    if path := order["environment"].get("PYTHONPATH"):
        sys.path[:0] = path.split(os.pathsep)
    from router.cli import main as command

    status = 1
    try:
        command()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise


def main() -> None:
    """The server; in what it has forked, the command."""
    asks = socket.socket(fileno=int(sys.argv[1]))
    load()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks is interrupted, and goes
    order = serve(asks)
    if order is not None:
        become(order)


if __name__ == "__main__":
    main()
