"""Changes of files are noticed, however they are made, and each once."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from router import watching
from router.config import Inputs, load
from router.testing import until
from rules.faults import Refused

CONFIG = """
http: null
sources: {orders: {type: memory, channel: orders}}
sinks: {out: {type: memory, channel: out}}
flows: [rules/*.yaml]
"""
RULES = "from: [orders]\ncontract: {schema: orders.schema.json}\nrules: [{to: out}]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    here = tmp_path / "here"
    (here / "rules").mkdir(parents=True)
    (here / "sluiceway.yaml").write_text(CONFIG)
    (here / "rules/orders.yaml").write_text(RULES)
    (here / "rules/orders.schema.json").write_text("{}")
    return here


class Changes:
    """What a watch has told so far."""

    def __init__(self, config: Path) -> None:
        self.seen = 0
        self.inputs = Inputs()
        self._config = config

    async def read(self) -> None:
        self.seen += 1
        self.inputs = Inputs()
        with contextlib.suppress(Refused):
            load([self._config], {}, self.inputs)


@asynccontextmanager
async def watched(config: Path) -> AsyncIterator[Changes]:
    changes = Changes(config)
    await changes.read()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watching.watch(lambda: changes.inputs, changes.read))
        await asyncio.sleep(0.3)  # so that the folders are watched, and not only looked at
        yield changes
        task.cancel()


def write(folder: Path) -> None:
    (folder / "sluiceway.yaml").write_text(CONFIG + "\nvars: {a: 1}\n")


def rename(folder: Path) -> None:
    (folder / "new").write_text(CONFIG + "\nvars: {a: 1}\n")
    (folder / "new").rename(folder / "sluiceway.yaml")


def appear(folder: Path) -> None:
    (folder / "rules/more.yaml").write_text("from: [other]\nrules: [{to: out}]\n")


def vanish(folder: Path) -> None:
    (folder / "rules/orders.yaml").unlink()


def schema(folder: Path) -> None:
    (folder / "rules/orders.schema.json").write_text('{"type": "object"}')


def remove_and_write(folder: Path) -> None:
    (folder / "sluiceway.yaml").unlink()
    (folder / "sluiceway.yaml").write_text(CONFIG)


@pytest.mark.parametrize("change", [write, rename, appear, vanish, schema, remove_and_write])
async def test_a_change_is_noticed_once(folder: Path, change: Callable[[Path], None]) -> None:
    async with watched(folder / "sluiceway.yaml") as changes:
        change(folder)
        (folder / "elsewhere").write_text("is none of its business")
        await until(lambda: changes.seen == 2)
        await asyncio.sleep(3 * watching.QUIET_SECONDS)
        assert changes.seen == 2


async def test_what_is_written_piece_by_piece_is_read_when_it_is_whole(folder: Path) -> None:
    async with watched(folder / "sluiceway.yaml") as changes:
        with (folder / "rules/orders.yaml").open("w") as file:
            for line in RULES.splitlines(keepends=True):
                file.write(line)
                file.flush()
                await asyncio.sleep(watching.QUIET_SECONDS / 4)
        await until(lambda: changes.seen == 2)
        await asyncio.sleep(2 * watching.QUIET_SECONDS)
        assert changes.seen == 2


async def test_a_config_map_that_points_its_link_elsewhere_is_noticed(folder: Path) -> None:
    """Kubernetes: files are links by way of ``..data``, itself a link to a folder, and another one takes its place."""
    mount = folder.with_name("mount")
    mount.mkdir()
    shutil.copytree(folder, mount / "..1")
    (mount / "..data").symlink_to("..1")
    for name in ("sluiceway.yaml", "rules"):
        (mount / name).symlink_to(f"..data/{name}")
    async with watched(mount / "sluiceway.yaml") as changes:
        for number in (2, 3):
            shutil.copytree(mount / "..1", mount / f"..{number}")
            (mount / f"..{number}/rules/orders.yaml").write_text(RULES.replace("to: out", "to: drop"))
            (mount / "..data_tmp").symlink_to(f"..{number}")
            (mount / "..data_tmp").rename(mount / "..data")
            await until(lambda: changes.seen == number)  # noqa: B023 - awaited within the turn
        assert changes.seen == 3


async def test_what_nobody_tells_of_is_found_by_looking(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a network file system: the folder that is watched is another one."""
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.3)
    monkeypatch.setattr(Inputs, "folders", lambda _: {folder.parent})
    async with watched(folder / "sluiceway.yaml") as changes:
        write(folder)
        await until(lambda: changes.seen == 2)


async def test_a_folder_that_is_gone_is_watched_again_when_it_is_back(folder: Path) -> None:
    kept = folder.with_name("kept")
    async with watched(folder / "sluiceway.yaml") as changes:
        folder.rename(kept)
        await until(lambda: changes.seen >= 2)
        seen = changes.seen
        kept.rename(folder)
        write(folder)
        await until(lambda: changes.seen > seen, 20)
