"""One file that is appended to in whole records or compressed members, and can be taken back to an earlier end."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from connectors.file.packed import MAGIC, STEP, Corrupt, Packing, Unpacker
from router import Framing

logger = logging.getLogger(__name__)


_SHOWN = 80  # bytes


class Refused(Exception):
    """Nothing can be written under this path, which is no fault of the system that it is on. Says why."""


class OutputFile:
    """An open file. Nobody else that locks it (flock) writes to it meanwhile.

    Opening repairs what a crash has left: what stands after the last whole record, or after the last whole compressed
    member, is moved to a file beside it with ``.torn`` added to its name, and a warning says so. (It was never
    acknowledged if it came from here, so it will come again; if it came from elsewhere it is not destroyed.) For a
    compressed file this means to unpack all of it once. ``clean``, a size known to need no repair, spares that.

    ``identity`` is its device and inode.

    Raises OSError, and Refused for what is no regular file, belongs to someone else, is not compressed as it should
    be, or begins with another head than the framing's. Folders are made; ``folders`` are those that must be synced for
    the file to be found after a crash.
    """

    def __init__(
        self, path: Path, framing: Framing, packing: Packing | None, *, links: bool, clean: int | None = None
    ) -> None:
        self._framing = framing
        self.path = path
        self.folders = [folder.parent for folder in _make_folders(path.parent)]
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        self._fd = os.open(path, flags if links else flags | os.O_NOFOLLOW, 0o666)
        try:
            found = os.fstat(self._fd)
            self.identity = (found.st_dev, found.st_ino)
            self.size = found.st_size
            self.modified = found.st_mtime
            self._claim(found.st_mode)
            if self.size == 0:
                self.folders.append(path.parent)
            elif self.size != clean:
                self._repair(packing)
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def replaced(self) -> bool:
        """Whether the path leads to another file by now, or to none."""
        try:
            found = self.path.stat()
        except OSError:
            return True
        return (found.st_dev, found.st_ino) != self.identity

    def append(self, data: bytes) -> None:
        """Write all of it. Raises OSError; then part of it may be there, until ``cut``."""
        if not self.size:
            self.modified = time.time()
        rest = memoryview(data)
        while rest:
            written = os.write(self._fd, rest)
            self.size += written
            rest = rest[written:]

    def sync(self) -> None:
        """Return when everything written is on the disk. Raises OSError."""
        os.fdatasync(self._fd)

    def cut(self, size: int) -> None:
        """Take away everything after ``size`` bytes. Raises OSError."""
        os.ftruncate(self._fd, size)
        self.size = size

    def close(self) -> None:
        """Give back the descriptor and the lock. Raises OSError when the system only now finds that it lost data."""
        os.close(self._fd)

    def _claim(self, mode: int) -> None:
        if not stat.S_ISREG(mode):
            raise Refused(f"{self.path} is no regular file")
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused(f"{self.path} is being written by another process or another sink") from error
        except OSError:
            return  # a file system without locks

    def _repair(self, packing: Packing | None) -> None:
        end = self._whole_records() if packing is None else self._whole_members(packing)
        if end == self.size:
            return
        torn = self.path.with_name(self.path.name + ".torn")
        fd = os.open(torn, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            for block in self._blocks(end, 1 << 20):
                _write_all(fd, block)
            if packing is None:
                _write_all(fd, b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
        logger.warning("%s ended in %d bytes that were not whole; moved to %s", self.path, self.size - end, torn)
        self.cut(end)

    def _whole_records(self) -> int:
        head = self._framing.head
        found = os.pread(self._fd, max(_SHOWN, len(head)), 0)
        if not found.startswith(head):
            if head.startswith(found):
                return 0  # torn within its head
            what = f"begins with {found[:_SHOWN]!r} instead of {head[:_SHOWN]!r}"
            raise Refused(f"{self.path} is there already, and {what}")
        return self._framing.whole(lambda size, offset: os.pread(self._fd, size, offset), self.size)

    def _whole_members(self, packing: Packing) -> int:
        if not MAGIC[packing].startswith(os.pread(self._fd, len(MAGIC[packing]), 0)):
            raise Refused(f"{self.path} is there already and is not {packing}")
        unpacker = Unpacker(packing)
        try:
            for block in self._blocks(0, STEP):
                unpacker.unpack(block)
        except Corrupt as error:
            logger.warning("%s: %s", self.path, error)
        return unpacker.whole

    def _blocks(self, start: int, size: int) -> Iterator[bytes]:
        while block := os.pread(self._fd, size, start):
            yield block
            start += len(block)


def make_sure_of_room(path: Path, start: int, size: int) -> None:
    """See that ``size`` bytes can be written at ``start`` in a file beside this one, durably. Raises OSError."""
    probe = path.with_name(f".{path.name}.probe"[-255:])
    fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        rest = memoryview(bytes(size))
        while rest:
            written = os.pwrite(fd, rest, start)
            start, rest = start + written, rest[written:]
        os.fsync(fd)
    finally:
        os.close(fd)
        probe.unlink()


def sync_folder(folder: Path) -> None:
    """Return when the names in the folder are on the disk, if it may be read at all. Raises OSError."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return  # a folder to write to only: there is no way to sync it
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _make_folders(folder: Path) -> list[Path]:
    """Make the folder and those it is in; which ones had to be made."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
    return missing
