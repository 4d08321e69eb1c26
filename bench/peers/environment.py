"""The virtual environment of the peers, in the user's cache: no peer is a dependency of Sluiceway, nor a package in its
own environment. Another list of requirements, or another Python, has an environment of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from scripts.environment import ROOT, create

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
ABSENT = "not installed; `python -m bench peers` installs it"


def add_option(parser: argparse.ArgumentParser) -> None:
    """``--peers`` and ``--no-peers``; with neither, peers take part if they are installed."""
    parser.add_argument(
        "--peers",
        action=argparse.BooleanOptionalAction,
        help="measure the peers, too, and install them first where that is to be done (default: if they are installed)",
    )


def wanted(option: bool | None) -> bool:
    """Whether peers take part, by what was said of them; installs them if need be."""
    if option:
        install()
    return option is not False


def installed() -> bool:
    """Whether the environment is there, with all that could be installed into it."""
    return _stamp().exists()


def command(module: str, *arguments: str) -> list[str]:
    """The command that runs ``bench.peers.MODULE`` in the environment."""
    return [str(_python()), "-m", f"bench.peers.{module}", *arguments]


def variables() -> Mapping[str, str]:
    """The environment variables with which the command finds the benchmarks, and nothing of this Python's packages."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def install() -> None:
    """Make the environment if it is not there. What cannot be installed is told, and missing from it then."""
    if installed():
        return
    print(f"Installing the peers into {_folder()}", flush=True)
    create(_folder(), sys.executable)
    if not _pip("-r", str(REQUIREMENTS)):
        for line in REQUIREMENTS.read_text().splitlines():
            if line and not line.startswith("#") and not _pip(line):
                print(f"{line} cannot be installed here", file=sys.stderr)
    _stamp().touch()


def _pip(*what: str) -> bool:
    install = [str(_python()), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return subprocess.run([*install, "--only-binary", ":all:", *what], check=False).returncode == 0


def _python() -> Path:
    return _folder() / "bin" / "python"


def _stamp() -> Path:
    return _folder() / "installed"


def _folder() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluiceway"
    of = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    return base / f"peers-{of}"
