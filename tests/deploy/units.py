"""The units of systemd as they are shipped, laid out below a folder and run without systemd."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

SYSTEMD = Path(__file__).resolve().parents[2] / "deploy" / "systemd"
SLUICEWAY = str(Path(sys.executable).with_name("sluiceway"))

Lines = list[tuple[str, str, str]]


def lines_of(unit: Path) -> Lines:
    """The settings of a unit: section, name and value of each, in their order."""
    found: Lines = []
    section = ""
    for line in unit.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.append((section, name, value))
    return found


@dataclass(frozen=True, slots=True)
class Started:
    """What systemd would start: the command, and the environment that it would give."""

    command: list[str]
    environment: dict[str, str]


@dataclass(frozen=True, slots=True)
class Host:
    """A host with Sluiceway on it, below a folder that stands for ``/``."""

    root: Path

    @property
    def etc(self) -> Path:
        """Its configuration."""
        return self.root / "etc" / "sluiceway"

    def install(self) -> None:
        """Put there what is shipped, with any free port in place of a certain one, and a secret."""
        shutil.copytree(SYSTEMD / "rules", self.etc / "rules")
        for name in ("sluiceway.yaml", "instance.yaml"):
            text = self.below((SYSTEMD / name).read_text())
            for port in ("9600", "960${env:SLUICEWAY_INSTANCE}"):
                text = text.replace(f"127.0.0.1:{port}", "127.0.0.1:0")
            (self.etc / name).write_text(text)
        (self.etc / "credentials").mkdir()
        (self.etc / "credentials" / "pepper").write_text("what makes tokens of customers\n")

    def started(self, unit: str, instance: str = "") -> Started:
        """What systemd would start for a unit, or an instance of a template."""
        credentials = self.root / "run" / "credentials" / f"{unit}-{instance}"
        credentials.mkdir(parents=True)
        environment = {"CREDENTIALS_DIRECTORY": str(credentials)}
        command: list[str] = []
        for _, name, value in lines_of(SYSTEMD / unit):
            told = value.replace("%i", instance)
            if name == "Environment":
                variable, _, text = told.partition("=")
                environment[variable] = text
            elif name == "LoadCredential":
                of, _, path = told.partition(":")
                shutil.copy(self.below(path), credentials / of)
            elif name == "StateDirectory":
                (self.root / "var" / "lib" / told).mkdir(parents=True, exist_ok=True)
            elif name == "ExecStart":
                command = shlex.split(self.below(told))
        return Started([SLUICEWAY, *command[1:]], {**os.environ, **environment})

    def below(self, text: str) -> str:
        """The text with the paths of a host below the folder."""
        for path in ("/etc/sluiceway", "/var/lib/sluiceway"):
            text = text.replace(path, f"{self.root}{path}")
        return text
