"""Which files the configured paths name, and how a file is found again that has been renamed or copied."""

from __future__ import annotations

import glob
import logging
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct, field

from connectors.file.place import Place
from router import NotConnected

logger = logging.getLogger(__name__)


class Match(Struct, frozen=True):
    """A file that a configured path names. ``literal``: the path was no pattern."""

    path: str
    key: str
    modified: int
    literal: bool


def key_of(found: os.stat_result) -> str:
    """What a file is known by: device and inode."""
    return f"{found.st_dev}:{found.st_ino}"


def shown(path: str) -> str:
    r"""The path as text; bytes of a name that are no UTF-8 become ``\ufffd``."""
    return os.fsencode(path).decode("utf-8", "replace")


def unreadable(path: str, error: OSError) -> NotConnected:
    """The error of a file that cannot be opened, for people."""
    return NotConnected(f"{shown(path)} cannot be read: {error.strerror or error}")


class Matcher(Struct):
    """Finds the files that ``patterns``, absolute paths or globs, name. A path that exists is never a glob."""

    patterns: Sequence[str]
    missing: list[str] = field(default_factory=list)
    """The paths (not globs) at which nothing was, the last time."""
    _warned: set[str] = field(default_factory=set)

    def find(self) -> list[Match]:
        """What is there now, sorted by path, each file once under the first of its names.

        Raises NotConnected when a path that is no glob is no regular file or may not be looked at.
        """
        self.missing = []
        found: dict[str, Match] = {}
        for match in sorted(self._all(), key=lambda match: match.path):
            found.setdefault(match.key, match)
        return list(found.values())

    def _all(self) -> Iterator[Match]:
        for pattern in self.patterns:
            if glob.has_magic(pattern) and not os.path.lexists(pattern):
                # Path.glob takes no absolute patterns
                for path in glob.iglob(pattern, recursive=True):  # noqa: PTH207
                    yield from self._matched(path)
            else:
                yield from self._named(pattern)

    def _matched(self, path: str) -> Iterator[Match]:
        try:
            found = Path(path).stat()
        except OSError:
            return  # gone since the folder was listed, or a broken link
        if stat.S_ISREG(found.st_mode):
            yield Match(path, key_of(found), found.st_mtime_ns, literal=False)
        elif not stat.S_ISDIR(found.st_mode) and path not in self._warned:
            self._warned.add(path)
            logger.warning("%s matches, but is no regular file; it is left out", shown(path))

    def _named(self, path: str) -> Iterator[Match]:
        try:
            found = Path(path).stat()
        except FileNotFoundError:
            self.missing.append(path)
            return
        except (OSError, ValueError) as error:
            raise NotConnected(f"{shown(path)} cannot be read: {getattr(error, 'strerror', None) or error}") from error
        if stat.S_ISDIR(found.st_mode):
            raise NotConnected(f"{shown(path)} is a folder; to read the files in it, say {shown(path)}/*")
        if not stat.S_ISREG(found.st_mode):
            raise NotConnected(f"{shown(path)} is no regular file, so it cannot be read twice; see the source stdin")
        yield Match(path, key_of(found), found.st_mtime_ns, literal=True)


def find_renamed(path: str, key: str) -> str | None:
    """Where in the folder of ``path`` the file with this key is now. Raises OSError when the folder is not there."""
    inode = int(key.partition(":")[2])
    found = _search(Path(path).parent, lambda entry: entry.inode() == inode and key_of(entry.stat()) == key)
    return next(found, None)


def find_copy(path: str, place: Place) -> str | None:
    """The file beside ``path`` whose name begins with its stem and which has all that was before ``place``."""
    stem = Path(path).name.partition(".")[0]
    if not place.offset or not stem:
        return None

    def is_copy(entry: os.DirEntry[str]) -> bool:
        if not entry.name.startswith(stem) or entry.path == path or entry.stat().st_size < place.stored:
            return False
        fd = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return place.fits(fd)
        finally:
            os.close(fd)

    try:
        return next(_search(Path(path).parent, is_copy), None)
    except OSError:
        return None


def _search(folder: Path, accept: Callable[[os.DirEntry[str]], bool]) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                if entry.is_file(follow_symlinks=False) and accept(entry):
                    yield entry.path
            except OSError:
                continue  # it went away, or may not be read: then it is not the one
