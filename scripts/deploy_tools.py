"""The tools that look at the files below ``deploy/``, in the user's cache. ``python -m scripts.deploy_tools`` brings
them.

None of them is a dependency of Sluiceway, nor of its tests; those that need them are skipped without. kustomize is
compiled, which takes a minute or two, once.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from scripts.environment import create

REQUIREMENTS = Path(__file__).with_suffix(".txt")
KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"
ABSENT = "the tools for deploy/ are not installed; `make deploy-tools` brings them"


def installed() -> bool:
    """Whether all of them are there."""
    return _stamp().exists()


def tool(name: str) -> str:
    """The path of one: ``hadolint``, ``kustomize``, or ``python`` with the schemas."""
    return str(_folder() / "bin" / name)


def install() -> None:
    """Bring them if they are not there. Raises CalledProcessError, or OSError where Go is missing."""
    if installed():
        return
    print(f"Installing what looks at deploy/ into {_folder()}", flush=True)
    create(_folder(), sys.executable)
    pip = [tool("python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--only-binary", ":all:", "-r", str(REQUIREMENTS)], check=True)
    # It is run a few times: what the compiler would spend on making it fast is spent for nothing.
    go = ["go", "install", "-gcflags=all=-N -l", "-ldflags=-s -w", KUSTOMIZE]
    subprocess.run(go, check=True, env={**os.environ, "GOBIN": str(_folder() / "bin")})
    _stamp().touch()


def _stamp() -> Path:
    return _folder() / "installed"


def _folder() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluiceway"
    of = hashlib.sha256(REQUIREMENTS.read_bytes() + KUSTOMIZE.encode() + sys.version.encode()).hexdigest()[:12]
    return base / f"deploy-{of}"


if __name__ == "__main__":
    install()
