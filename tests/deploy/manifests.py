"""Manifests as their schemas see them, by the tools of ``make deploy-tools``."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from scripts import deploy_tools, manifest_faults

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"

needs_tools = pytest.mark.skipif(not deploy_tools.installed(), reason=deploy_tools.ABSENT)


def documents(text: str) -> list[Any]:
    """Every document of a YAML text."""
    return list(YAML(typ="safe").load_all(text))


def built(folder: Path) -> list[Any]:
    """The manifests that kustomize makes of a folder; it has to make them without a word."""
    done = subprocess.run(
        [deploy_tools.tool("kubectl"), "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return documents(done.stdout)


def faults(manifests: Sequence[Any], *how: str) -> list[str]:
    """What their schemas refuse of manifests; with ``compose``, of Compose files."""
    command = [deploy_tools.tool("python"), str(manifest_faults.__file__), *how]
    done = subprocess.run(command, input=json.dumps(manifests), capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stdout)
    return found
