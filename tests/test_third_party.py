"""A connector of somebody else: the package on the page of the documentation, built and used as a reader would.

Everything runs in an environment that has the wheel of Sluiceway and that of the package, and nothing of the tree. What
both depend on is borrowed from the environment of the tests.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.pages import blocks_of
from tests.servers.locks import alone
from tests.servers.shared import run_folder
from tests.walkthrough import ROOT, write

PAGE = ROOT / "docs" / "writing-a-connector.md"
BLOCKS = blocks_of(PAGE)
MODULE, TESTS = "sluiceway_netstring.py", "test_netstring.py"
LINES = 60
SECONDS = 300
INSTALL = "pip install --editable '.[test]'"
"""The command on the page for which the package is built and installed as a wheel here."""

ROUTE = """
import asyncio, pathlib, signal
from test_netstring import TestSink, TestSource

async def main():
    source, sink = TestSource(), TestSink()
    await source.start()
    await sink.start()
    config = pathlib.Path("sluiceway.yaml")
    text = config.read_text()
    config.write_text(text.replace(":7001", f":{source.port}").replace(":7002", f":{sink.port}"))
    router = await asyncio.create_subprocess_exec("sluiceway", "run")
    events = [b'{"n": %d}' % n for n in range(1000)]
    await source.put(events[:500])
    while len(sink.taken) < 500:
        await asyncio.sleep(0.01)
    await sink.go_away()
    await source.put(events[500:])
    await sink.come_back()
    while len(set(sink.taken)) < 1000:
        await asyncio.sleep(0.01)
    router.send_signal(signal.SIGTERM)
    assert await router.wait() == 0
    assert list(dict.fromkeys(sink.taken)) == events
    assert not source.waiting, "what was delivered is acknowledged"
    await source.stop()
    await sink.stop()

asyncio.run(asyncio.wait_for(main(), 60))
"""


class Reader:
    """Somebody who has typed in the page, in one folder, and uses what was installed from it in another."""

    def __init__(self, folder: Path) -> None:
        self.package = folder / "package"
        self.folder = folder / "use"
        self.environment = folder / "environment"

    def install(self) -> None:
        """Type in the page, and install both wheels, beside each other."""
        for block in BLOCKS:
            if "." in block.label:
                write(
                    (self.package if block.label in (MODULE, "pyproject.toml") else self.folder) / block.label,
                    block.text,
                )
        wheels = self.folder.parent / "wheels"
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        for tree in (ROOT, self.package):
            call([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(tree)])
        call([sys.executable, "-m", "venv", "--without-pip", str(self.environment)])
        python = self.environment / "bin" / "python"
        call([*pip, f"--python={python}", "install", "--no-deps", "--no-index", *map(str, wheels.iterdir())])
        own = Path(self.run("python -c 'import sysconfig; print(sysconfig.get_path(\"purelib\"))'").strip())
        # A path alone: the links to the tree that lie in it are not followed.
        (own / "borrowed.pth").write_text(sysconfig.get_path("purelib"))

    def run(self, line: str, folder: Path | None = None) -> str:
        """The output of a command in the environment, which must succeed; in this folder, or in theirs."""
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
        path = f"{self.environment / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        # Of pytest's plugins, a reader has none.
        environment = {**kept, "PATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        return call(["bash", "-c", line], cwd=folder or self.folder, env=environment)


def call(command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """The same for the whole run."""
    folder = run_folder(tmp_path_factory) / "third-party"
    made = Reader(folder)
    with alone(folder.with_suffix(".lock")):
        if not folder.exists():
            made.install()
    return made


def test_the_connector_is_as_short_as_the_page_says() -> None:
    """All of the module, with its documentation."""
    [module] = [block for block in BLOCKS if block.label == MODULE]
    assert module.text.count("\n") <= LINES
    assert f"in {LINES} lines" in PAGE.read_text()
    assert max(map(len, module.text.splitlines())) <= 120


def test_nothing_of_the_tree_is_in_the_environment(reader: Reader) -> None:
    """Else a file that the wheel lacks would not be missed."""
    where = reader.run("python -c 'import router, rules, connectors.kit as k; print(router, rules, k)'")
    assert where.count(str(reader.environment)) == 3
    assert str(ROOT) not in where


@pytest.fixture(scope="module")
def shown(reader: Reader) -> dict[str, str]:
    """What the commands of the page show, one after the other; once in the whole run."""
    lines = [line for block in BLOCKS if block.language == "sh" for line in block.text.splitlines()]
    assert INSTALL in lines
    told = reader.folder.with_name("shown.json")
    with alone(told.with_suffix(".lock")):
        if not told.exists():
            told.write_text(json.dumps({line: reader.run(line) for line in lines if line != INSTALL}))
        shown: dict[str, str] = json.loads(told.read_text())
        return shown


def test_its_commands_show_what_the_page_says(shown: dict[str, str]) -> None:
    """Each works, and where the page tells what it shows, it does."""
    last = ""
    for block in BLOCKS:
        if block.language == "sh":
            last = shown[block.text.splitlines()[-1]]
        elif block.label == "output":
            assert last == block.text


def test_it_passes_the_kit(shown: dict[str, str]) -> None:
    """None of the checks is skipped but those that the page's tests say why."""
    summary = shown["python -m pytest -rs"]
    assert " failed" not in summary
    reasons = {line.split("not promised: ")[-1] for line in summary.splitlines() if line.startswith("SKIPPED")}
    assert reasons == {
        "the server can always send more",
        "it gives no leases",
        "it has no setting that a delivery may choose",
        'acknowledgements come in the order of reading (ack_order = "read")',
    }


def test_the_command_line_tells_all_about_it(shown: dict[str, str]) -> None:
    """Its guarantee and its settings, as a source and as a sink."""
    told = shown["sluiceway connectors netstring"]
    for words in ("**Guarantee**: at least once", "`server` (", "Host and port of the server."):
        assert told.count(words) == 2


def test_records_are_routed_through_it(reader: Reader, tmp_path: Path) -> None:
    """A thousand, with a sink that goes away half-way: each is there, in order, and acknowledged."""
    folder = shutil.copytree(reader.folder, tmp_path / "use")
    write(folder / "route.py", ROUTE)
    reader.run("python route.py", folder)
