"""A smoke test of what is shipped: the wheel, made from the source distribution, installed into a fresh environment.

Everything runs outside the tree, so that a file which the wheel lacks is missed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.environment import ROOT, create

CONFIG = """\
state_dir: state
http: {listen: 127.0.0.1:0}
sources:
  numbers: {type: file, path: numbers.ndjson, follow: false}
sinks:
  even: {type: file, path: out/even.ndjson}
  odd: {type: file, path: out/odd.ndjson}
flows: [numbers.yaml]
"""
RULES = """\
from: [numbers]
rules:
  - {name: even, when: event.n % 2 == 0, to: even}
  - {name: odd, to: odd}
tests:
  - name: two is even
    given: [{event: {n: 2}}]
    then: {even: 1}
"""
NUMBERS = 1000


class Shipped:
    """The installed ``sluiceway``, run in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = folder / "environment"
        self.program = self.environment / "bin" / "sluiceway"

    def install(self) -> None:
        """Build the distributions and install the wheel, without extras."""
        dist = self.folder / "dist"
        self.call(sys.executable, "-m", "build", "--outdir", str(dist), str(ROOT))
        (wheel,) = dist.glob("*.whl")
        create(self.environment, sys.executable)
        self.call(str(self.environment / "bin" / "python"), "-m", "pip", "install", "--quiet", str(wheel))

    def sluiceway(self, *arguments: str, code: int = 0) -> str:
        """Its standard output; the smoke test fails when it ends with another code."""
        return self.call(str(self.program), *arguments, code=code)

    def call(self, *command: str, code: int = 0) -> str:
        """Run a command in the folder, with nothing of the tree on its path."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        done = subprocess.run(
            command, cwd=self.folder, env=clean, capture_output=True, text=True, timeout=600, check=False
        )
        if done.returncode != code:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}")
        return done.stdout


def route(shipped: Shipped) -> None:
    """A bounded flow from file to files, with one line that is no JSON: every line is accounted for."""
    write = [json.dumps({"n": n}) for n in range(NUMBERS)]
    (shipped.folder / "numbers.ndjson").write_text("\n".join([*write, "{not json"]))
    (shipped.folder / "sluiceway.yaml").write_text(CONFIG)
    (shipped.folder / "numbers.yaml").write_text(RULES)
    for command in ("check", "test", "run"):
        shipped.sluiceway(command)
    for name, first in (("even", 0), ("odd", 1)):
        lines = (shipped.folder / "out" / f"{name}.ndjson").read_text().splitlines()
        expect(f"the file {name}", lines, write[first::2])
    letters = shipped.sluiceway("dead", "list", "--json").splitlines()
    expect("the dead letters", [json.loads(letter)["value"] for letter in letters], ["{not json"])


def example(shipped: Shipped) -> None:
    """What ``init`` writes is in order, and its tests pass."""
    shipped.sluiceway("init", "example")
    shipped.sluiceway("check", "example/sluiceway.yaml")
    shipped.sluiceway("test", "example/sluiceway.yaml")


def look_up(shipped: Shipped) -> None:
    """The commands that need no configuration, and a wrong one."""
    listed = shipped.sluiceway("connectors")
    expect("the connectors", [name for name in ("file", "generate", "http", "stdin") if name not in listed], [])
    expect("a connector", "follow" in shipped.sluiceway("connectors", "file"), True)
    for kind in ("config", "rules"):
        expect(f"the schema of {kind}", json.loads(shipped.sluiceway("schema", kind))["type"], "object")
    expect("an expression", json.loads(shipped.sluiceway("eval", "1 + 2")), 3)
    (shipped.folder / "wrong.yaml").write_text("sinks: {a: {type: fiel}}\n")
    shipped.sluiceway("check", "wrong.yaml", code=2)


def look(shipped: Shipped) -> None:
    """The console is whole: it is served from files of the wheel."""
    python = shipped.environment / "bin" / "python"
    shipped.call(str(python), "-c", "from router.console import Console; Console(lambda _: None)")


def expect(what: str, found: object, wanted: object) -> None:
    """End the program when they differ."""
    if found != wanted:
        sys.exit(f"{what}: found {found!r:.2000}, wanted {wanted!r:.2000}")


def main() -> None:
    """Run all of it in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="sluiceway-smoke-") as folder:
        shipped = Shipped(Path(folder))
        for step in (Shipped.install, example, look_up, look, route):
            print(f"smoke: {step.__name__}", flush=True)
            step(shipped)


if __name__ == "__main__":
    main()
