"""The file connectors keep the contract that the kit checks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from connectors.file import FileSink, FileSource
from connectors.kit import SinkContract, SourceContract
from router import Settings


class Files:
    """A folder that can be away."""

    folder: Path

    async def start(self) -> None:
        (self.folder / "files").mkdir()
        self.path.touch()

    @property
    def path(self) -> Path:
        return self.folder / "files" / "records"

    async def go_away(self) -> None:
        (self.folder / "files").rename(self.folder / "away")

    async def come_back(self) -> None:
        (self.folder / "away").rename(self.folder / "files")

    async def put(self, values: Sequence[bytes]) -> None:
        with self.path.open("ab") as file:
            file.writelines(value + b"\n" for value in values)


class TestFileSourceThatFollows(Files, SourceContract):
    connector = FileSource
    cannot = {
        "end": "a file that is followed has no end",
        "go away": "a file that is deleted is read to its end, and a missing one is waited for",
    }

    def config(self) -> Settings:
        return FileSource.Config(path="files/records", follow=True, poll=0.01, read=4096)


class TestFileSourceThatReadsOnce(Files, SourceContract):
    connector = FileSource
    cannot = {
        "wait": "what is there when the file is opened is read, and then the source has ended",
        "go away": "an open file stays, whatever becomes of its name",
    }

    def config(self) -> Settings:
        return FileSource.Config(path="files/records", read=4096)

    async def end(self) -> None:
        """It ends by itself."""


class TestFileSink(Files, SinkContract):
    connector = FileSink
    impossible = b"two\nlines"
    choices = {"path": ["files/one", "files/other"]}

    def config(self) -> Settings:
        return FileSink.Config(path="files/records")

    async def go_away(self) -> None:
        """A folder that is missing would be made."""
        await super().go_away()
        (self.folder / "files").touch()

    async def come_back(self) -> None:
        (self.folder / "files").unlink()
        await super().come_back()

    async def written(self, **chosen: Any) -> Sequence[bytes]:
        path: Path = self.folder / chosen.get("path", "files/records")
        return path.read_bytes().split(b"\n")[:-1]
