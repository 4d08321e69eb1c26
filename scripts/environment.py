"""The virtual environment of the tree: ``python3 scripts/environment.py FOLDER`` makes it, or brings it up to date.

Runs under whatever ``python3`` the machine has and needs nothing but its standard library; an interpreter that is too
old to run Sluiceway looks for a newer one on the PATH.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
NEWER = ["python3.14", "python3.13", "python3.12", "python3.11"]

NO_VENV = """\
{python} has no way to make a virtual environment here. On Debian and Ubuntu this brings it:

    sudo apt-get install python3-venv
"""
NO_PYTHON = """\
Sluiceway needs Python 3.11 or newer, and there is none on the PATH. On Debian 12 and later this brings it:

    sudo apt-get install python3 python3-venv
"""


def create(folder: Path, python: str) -> None:
    """Make a fresh virtual environment with pip in ``folder``. Ends the program with what to do if it cannot be."""
    ways = [
        ([python, "-c", "import ensurepip, venv"], [python, "-m", "venv", "--clear", str(folder)]),
        ([python, "-m", "virtualenv", "--version"], [python, "-m", "virtualenv", "--clear", str(folder)]),
        (["virtualenv", "--version"], ["virtualenv", "--clear", "--python", python, str(folder)]),
    ]
    for probe, command in ways:
        if works(probe):
            subprocess.run(command, check=True)
            return
    sys.exit(NO_VENV.format(python=python))


def works(command: list[str]) -> bool:
    """Whether the command is there and succeeds."""
    try:
        return (
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0
        )
    except OSError:
        return False


def interpreter() -> str:
    """A Python that is new enough: this one, or the newest on the PATH."""
    if sys.version_info >= OLDEST:
        return sys.executable
    for name in NEWER:
        path = shutil.which(name)
        if path and works([path, "-c", ""]):
            return path
    sys.exit(NO_PYTHON)


def main(folder: Path) -> None:
    """Make the environment if there is none that works, and install the tree into it, editable, with what checks it."""
    python = folder / "bin" / "python"
    if not works([str(python), "-m", "pip", "--version"]):
        print(f"Making the virtual environment {folder}", flush=True)
        create(folder, interpreter())
    print(f"Installing Sluiceway and what it needs into {folder}", flush=True)
    install = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--editable",
        f"{ROOT}[dev]",
    ]
    sys.exit(subprocess.run(install, check=False).returncode)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
