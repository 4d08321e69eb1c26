"""The files that a configuration is read from, as they were when it was read: so it can be told when they change."""

from __future__ import annotations

import errno
import glob
import hashlib
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct

FileKind = Literal["main", "rules", "schema"]
_Stamp = tuple[int, int, int] | None
"""What changes when a file does; None while there is none."""
Snapshot = tuple[list[_Stamp], list[list[str]]]
_WILD = frozenset("*?[")


class TextFile(Struct, frozen=True):
    """A file that somebody wrote, of which a configuration is made: the daemon's, rules, or a schema, which belongs to
    the rules file ``of``. ``data`` are its bytes as they were read, and ``digest`` is theirs."""

    path: Path
    kind: FileKind
    data: bytes
    digest: str
    of: Path


def _see_that_it_ends(file: Path) -> None:
    """Raises OSError for a pipe, a socket or a device: to read one may take forever."""
    mode = file.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # of a folder, reading says what it is
        raise OSError(errno.EINVAL, "it is no regular file", str(file))


def digest(data: bytes) -> str:
    """What changes when the bytes of a file do: their SHA-256."""
    return hashlib.sha256(data).hexdigest()


class Inputs:
    """Files and patterns of files that were looked at. What changes while it is read has changed: a stamp is taken
    before its file is read."""

    def __init__(self) -> None:
        self._stamps: dict[Path, _Stamp] = {}
        self._listings: dict[tuple[Path, str], list[str]] = {}
        self.texts: dict[Path, TextFile] = {}
        """What was read that somebody wrote, in the order of reading."""

    def note(self, file: Path) -> None:
        """The configuration depends on this file, which somebody else reads after this."""
        self._stamps.setdefault(file, _stamp(file))

    def read(self, file: Path, kind: FileKind | None = None) -> bytes:
        """The bytes of a file. Raises OSError, also for what is no file of bytes, and so might never end; of the
        daemon's own files, whoever names them may have reasons."""
        self.note(file)
        if kind != "main":
            _see_that_it_ends(file)
        return file.read_bytes()

    def read_text(self, file: Path, kind: FileKind, of: Path | None = None) -> bytes:
        """The same of a file that somebody wrote. Raises OSError."""
        data = self.read(file, kind)
        self.texts.setdefault(file, TextFile(file, kind, data, digest(data), of or file))
        return data

    def matching(self, folder: Path, pattern: str) -> list[str]:
        """The names, relative to the folder, that match a pattern. Raises ValueError and RecursionError for what is no
        pattern."""
        found = _listing(folder, pattern)
        self._listings[folder, pattern] = found
        return found

    def now(self) -> Snapshot:
        """How the files are now, to be compared with how they are at another time. Takes microseconds for each."""
        return [*map(_stamp, self._stamps)], [_listing(*where) for where in self._listings]

    def have_changed(self) -> bool:
        """Whether reading them now may give something else."""
        return self.now() != ([*self._stamps.values()], [*self._listings.values()])

    def folders(self) -> set[Path]:
        """The folders in which something happens when one of the files changes, appears or goes: those of the files, of
        what they are links to, and of the patterns, as far as these folders exist."""
        found = {file.absolute().parent for file in self._stamps}
        found |= {file.resolve().parent for file in self._stamps}
        for (folder, pattern), names in self._listings.items():
            found |= {(folder / name).absolute().parent for name in names}
            found.add(_fixed_part(folder.absolute(), pattern))
        return {folder for folder in found if folder.is_dir()}


def _stamp(file: Path) -> _Stamp:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _listing(folder: Path, pattern: str) -> list[str]:
    return sorted(glob.glob(pattern, root_dir=folder, recursive=True))  # noqa: PTH207 - Path's takes no absolute pattern


def _fixed_part(folder: Path, pattern: str) -> Path:
    """The folder that a pattern begins with, down to the first part that could be several."""
    path = folder
    for part in Path(pattern).parts[:-1]:
        if not _WILD.isdisjoint(part):
            break
        path = path / part
    return path


class Edited(Inputs):
    """The same with other contents of some files than are on the disk."""

    def __init__(self, texts: Mapping[Path, bytes]) -> None:
        super().__init__()
        self._instead = texts

    def read(self, file: Path, kind: FileKind | None = None) -> bytes:
        """The bytes that stand for a file. Raises OSError."""
        return self._instead[file] if file in self._instead else super().read(file, kind)
