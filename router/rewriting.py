"""Files of the configuration, given other contents: all of them, or none.

Each file is written whole beside the one that it takes the place of, made durable, and then put there by renaming, so
that whoever reads it finds the old one or the new one. What was there is kept under another name until all is well, so
that to go back needs no room on the disk. A file that has been changed by somebody else meanwhile is not touched.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from router.config import digest
from router.errors import SluicewayError


class Changed(SluicewayError):
    """A file is not what it was taken to be."""


class Unwritable(SluicewayError):
    """A file cannot be written, and why."""


class NewText(Struct, frozen=True):
    """What a file is to hold, and the digest of what it has to hold now."""

    data: bytes
    base: str


def why_unwritable(path: Path) -> str:
    """Why a file could not be written; empty if it can be, as far as is known before it is tried."""
    real = path.resolve()
    if not os.access(real.parent, os.W_OK):
        return f"the folder {real.parent} cannot be written"
    return "" if os.access(real, os.W_OK) else "the file cannot be written"


class Rewriting:
    """Files that are to have other contents. After ``write`` either ``keep`` or ``restore`` is to be called."""

    def __init__(self, texts: Mapping[Path, NewText]) -> None:
        self._texts = {path.resolve(): text for path, text in texts.items()}  # a link stays one
        self._new: dict[Path, Path] = {}
        self._old: dict[Path, Path] = {}
        self._replaced: list[Path] = []

    def write(self) -> None:
        """Write all of them. Raises Changed and Unwritable, and then all is as it was."""
        try:
            for path, text in self._texts.items():
                self._check(path)
                self._prepare(path, text.data)
            for path in self._texts:
                self._check(path)
                self._replaced.append(path)
                self._new[path].replace(path)
            for folder in {path.parent for path in self._texts}:
                _sync(folder)
        except OSError as error:
            self.restore()
            raise Unwritable(f"{error.filename or 'a file'} cannot be written: {error.strerror}") from error
        except BaseException:
            self.restore()
            raise

    def restore(self) -> None:
        """Put back what was there, but for what somebody else has changed since."""
        for path in self._replaced:
            with contextlib.suppress(OSError):
                if digest(path.read_bytes()) == digest(self._texts[path].data):
                    self._old[path].replace(path)
        for folder in {path.parent for path in self._replaced}:
            with contextlib.suppress(OSError):
                _sync(folder)
        self.keep()

    def keep(self) -> None:
        """All is well: what was there is needed no more."""
        for path in (*self._new.values(), *self._old.values()):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        self._replaced.clear()

    def _check(self, path: Path) -> None:
        if digest(path.read_bytes()) != self._texts[path].base:
            raise Changed(f"{path} has been changed since it was read")

    def _prepare(self, path: Path, data: bytes) -> None:
        mark = secrets.token_hex(4)
        new, old = (path.with_name(f".{path.name}.{mark}.{which}") for which in ("new", "old"))
        status = path.stat()
        self._new[path] = new
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fchmod(file.fileno(), status.st_mode & 0o7777)
            file.flush()
            os.fsync(file.fileno())
        self._old[path] = old
        try:
            os.link(path, old)
        except OSError:  # there are file systems without
            shutil.copy2(path, old)


def _sync(folder: Path) -> None:
    """What was renamed in a folder is durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
