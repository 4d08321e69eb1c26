"""Following files that grow, are rotated, truncated and deleted."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from connectors.file.family import Sibling, find_packed, holds, siblings, stem
from connectors.file.finite import saved_place
from connectors.file.followed import FollowedFile, look, modified_at, read_packed
from connectors.file.matching import Match, Matcher, find_copy, find_renamed, key_of, shown, unreadable
from connectors.file.packed import Packing, packing_of
from connectors.file.place import Place
from connectors.file.reader import Cutting, PackedReader, PlainReader
from connectors.file.tracked import TrackedFile
from router import Framed, Json, NotConnected

logger = logging.getLogger(__name__)

OPENED = "opened"
"""The key under which it is remembered that a source which begins at the end has begun."""

_QUIET = 20  # polls without growth after which the last line of a rotated file is taken for complete
_KEPT = 3600.0  # seconds without growth after which a renamed file is let go
_DESCRIPTORS = 256  # files held open at a time


class FollowingFiles:
    """The files that match, now and later; read in turns, those rotated away first, then by time of change.

    Used from one thread. ``changes`` collects what is to be saved of positions; None forgets a key.
    """

    def __init__(
        self,
        matcher: Matcher,
        entries: Mapping[str, Json],
        cutting: Cutting,
        *,
        poll: float,
        start: Literal["begin", "end"],
    ) -> None:
        self._matcher = matcher
        self._entries = dict(entries)  # each is used once: what gets the inode later is another file
        self._cutting = cutting
        self._poll = poll
        self._at_end = start == "end" and not entries
        self._by_key: dict[str, FollowedFile] = {}
        self._turns: deque[FollowedFile] = deque()
        self._open: OrderedDict[str, FollowedFile] = OrderedDict()
        self._refused: set[str] = set()
        self._appeared: list[str] = []
        self._scanned_at = 0.0
        self.changes: dict[str, Json] = {}

    @property
    def files(self) -> list[TrackedFile]:
        """Every file that is followed."""
        return list(self._by_key.values())

    def open(self) -> None:
        """Find the files, those too that were rotated away since the last time.

        Raises NotConnected when there is nothing to follow at a path that is no glob, or it may not be read.
        """
        self._scan()
        for key in [key for key in self._entries if ":" in key]:
            self._find_rotated(key)
        self._appeared += self._matcher.missing
        self._adopt_all()
        if self._at_end:
            self._at_end = False
            self.changes[OPENED] = True
        if self._matcher.missing and not self._by_key:
            raise NotConnected(f"{shown(self._matcher.missing[0])} does not exist")
        for path in self._matcher.missing:
            logger.warning("%s does not exist; it is followed once it does", shown(path))
        self._take_turns()

    def next(self) -> tuple[TrackedFile, Framed] | None:
        """What the next chunk of a file holds, which may be nothing; None when there is nothing new for now."""
        for again in (True, False):
            while self._turns:
                file = self._turns[0]
                lines = self._advance(file)
                if lines is not None:
                    return file, lines
                self._turns.popleft()
            if again:
                self._look_around()
        return None

    def close(self) -> None:
        """Give back all descriptors."""
        for file in self._by_key.values():
            file.close()
        self._by_key.clear()
        self._open.clear()
        self._turns.clear()

    def _look_around(self) -> None:
        if time.monotonic() - self._scanned_at >= self._poll:
            self._scan()
            self._adopt_all()
            for file in [file for file in self._by_key.values() if file.rotated]:
                self._let_go(file)
        self._take_turns()

    def _take_turns(self) -> None:
        order = sorted(self._by_key.values(), key=lambda file: (not file.rotated, file.modified, file.path))
        for file in order:
            file.until = 0
        self._turns = deque(order)

    def _scan(self) -> None:
        self._scanned_at = time.monotonic()
        matches = {match.key: match for match in self._matcher.find()}
        if not matches.keys() <= self._by_key.keys():
            self._look_for_truncated()  # before one of the new files is taken for anything but a copy
        for key, match in matches.items():
            file = self._by_key.get(key)
            if file is None:
                self._begin(match)
                continue
            file.modified = match.modified
            if file.path != match.path:
                file.path, file.rotated = match.path, True
        for key, file in self._by_key.items():
            file.matched = key in matches
            file.rotated = file.rotated or not file.matched

    def _look_for_truncated(self) -> None:
        for file in list(self._by_key.values()):
            if file.fd is None:
                continue
            found = os.fstat(file.fd)
            if not file.is_as_seen(found) and not file.place.fits(file.fd):
                self._truncated(file)

    def _begin(self, match: Match) -> None:
        saved = saved_place(self._entries, match.key)
        place, fits = Place(), True
        try:
            fd = os.open(match.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                packing = packing_of(match.path, os.pread(fd, 4, 0))
                if saved:
                    fits = saved[1].fits(fd)
                    place = saved[1] if fits else place
                elif self._at_end:
                    place = self._cutting.end(fd)
            finally:
                os.close(fd)
        except OSError as error:
            self._refuse(match, error)
            return
        self._entries.pop(match.key, None)
        if packing is not None:
            self._warn_once(match.path, f"is {packing}, which cannot be followed; it is left out")
            return
        self._refused.discard(match.path)
        if saved and not fits:
            self._replaced(match, saved[1])
        if not saved or not fits:
            self._appeared.append(match.path)
        if self._at_end:
            self.changes[match.key] = place.dump(shown(match.path))
        self._add(match.key, match.path, place).modified = match.modified

    def _refuse(self, match: Match, error: OSError) -> None:
        if isinstance(error, FileNotFoundError):
            return
        if match.literal or error.errno in {errno.EMFILE, errno.ENFILE}:
            raise unreadable(match.path, error) from error
        self._warn_once(match.path, f"cannot be read ({error.strerror}); it is tried again")

    def _warn_once(self, path: str, what: str) -> None:
        if path not in self._refused:
            self._refused.add(path)
            logger.warning("%s %s", shown(path), what)

    def _add(self, key: str, path: str, place: Place, packing: Packing | None = None) -> FollowedFile:
        reader = PackedReader(packing, place, self._cutting) if packing else PlainReader(place, self._cutting)
        file = FollowedFile(key, path, place, reader, grew_at=time.monotonic())
        self._by_key[key] = file
        return file

    def _find_rotated(self, key: str) -> None:
        """Of a file that matches no more: go on where it has been renamed to, or forget it."""
        saved = saved_place(self._entries, key)
        if saved is None:
            self.changes[key] = None
            return
        path, place = saved
        try:
            found = find_renamed(path, key)
            same, packing, modified = look(found, place) if found is not None else (False, None, 0)
        except OSError as error:
            # Perhaps its folder is not mounted, or it may be read later: it may come back.
            logger.warning("%s, which was being read, cannot be found: %s", path, error.strerror)
            return
        del self._entries[key]
        if found is None or not same:
            self.changes[key] = None
            if not self._go_on_in_packed(path, place):
                logger.warning("%s is gone; what it held after byte %d, if anything, is lost", path, place.offset)
            return
        file = self._add(key, found, place, packing)
        file.matched, file.rotated, file.modified = False, True, modified

    def _go_on_in_packed(self, path: str, place: Place) -> bool:
        """Whether what was being read was compressed when it was rotated away: then its rest is read from there."""
        try:
            sibling = find_packed(path, place)
        except NotConnected as error:
            logger.warning("%s: what it was rotated to cannot be looked at: %s", shown(path), error)
            return False
        if sibling is None or sibling.key in self._by_key or sibling.key in self._entries:
            return False
        self._add_sibling(sibling, Place(place.offset, state=place.state))
        return True

    def _add_sibling(self, sibling: Sibling, place: Place) -> None:
        try:
            file = self._add(sibling.key, sibling.path, place, sibling.packing)
        except NotConnected as error:
            self._warn_once(sibling.path, f"was rotated away unread: {error}")
            return
        file.matched, file.rotated, file.modified = False, True, sibling.modified
        logger.info("%s was rotated away before it was read to its end; it is read", shown(sibling.path))

    def _adopt_all(self) -> None:
        appeared, self._appeared = self._appeared, []
        for path in appeared:
            if stem(Path(path).name) == Path(path).name:
                self._adopt(path)

    def _adopt(self, path: str) -> None:
        """Find what the path held, and was rotated away unseen, between the last file known of it and the new one."""
        name, folder = Path(path).name, Path(path).parent
        known = [
            file
            for file in self._by_key.values()
            if file.modified
            and not (file.matched and file.path == path)
            and Path(file.path).parent == folder
            and stem(Path(file.path).name) == name
        ]
        if not known:
            return
        since = max(file.modified for file in known)
        for sibling in siblings(path):
            new = sibling.key not in self._by_key and sibling.key not in self._entries
            if new and sibling.modified >= since and not any(holds(sibling, file.place) for file in known):
                self._add_sibling(sibling, Place())

    def _advance(self, file: FollowedFile) -> Framed | None:
        if self._by_key.get(file.key) is not file:
            return None  # let go, or found to be a copy, since it got its turn
        try:
            fd = self._descriptor(file)
            if fd is None:
                return None
            found = os.fstat(fd)
            state = (found.st_size, found.st_mtime_ns)
            complete = file.rotated and time.monotonic() - file.grew_at >= _QUIET * self._poll
            if file.is_as_seen(found) and not (complete and found.st_size > file.place.offset):
                return None
            if file.until and file.place.offset >= file.until and not file.rotated:
                return None
            return self._read(file, fd, state, complete=complete)
        except OSError as error:
            raise unreadable(file.path, error) from error

    def _read(self, file: FollowedFile, fd: int, state: tuple[int, int], *, complete: bool) -> Framed | None:
        if isinstance(file.reader, PackedReader):
            return read_packed(file, fd, state)
        file.until = file.until or state[0]
        lines = file.plain.read(fd)
        if lines is None and complete:
            lines = file.plain.finish()
            if not lines.values:
                lines = None
        place = file.plain.place(fd, file.place) if lines is not None else file.place
        # Looking afterwards tells that lines and place are of what stood there before any truncation.
        changed = os.fstat(fd).st_size < file.plain.position or (lines is not None and not file.plain.unchanged(fd))
        if not file.place.fits(fd) or (changed and not file.place.offset):
            self._truncated(file)
            return None
        if changed:  # only what nobody has been given: it is read as it is now
            file.reader = PlainReader(file.place, self._cutting)
            file.seen = None
            return None
        if lines is None:
            file.plain.forget()
            file.grew_at = file.grew_at if file.seen == state else time.monotonic()
            file.seen = state
            return None
        file.take_at(place, fd, lines)
        return lines

    def _truncated(self, file: FollowedFile) -> None:
        """The file holds something else now: begin again, and go on with the old content if there is a copy of it."""
        unread = max(0, (file.seen or (0, 0))[0] - file.place.offset)
        self._drop(file)
        self.changes[file.key] = None
        if file.matched:
            fresh = self._add(file.key, file.path, Place())
            fresh.rotated, fresh.modified = file.rotated, file.modified
            self._turns.append(fresh)
        copy = self._copy_of(file.path, file.place)
        if copy is None:
            file.lost = True
            again = "and is read from its beginning" if file.matched else "after it was rotated away"
            logger.warning("%s was truncated %s; lost unread: %d bytes or more", shown(file.path), again, unread)
            return
        file.key, file.path = copy
        file.reader = PlainReader(file.place, self._cutting)
        self._go_on_in_copy(file)

    def _replaced(self, match: Match, place: Place) -> None:
        """While nobody looked, a file whose place is known came to hold something else: go on in a copy of it."""
        self.changes[match.key] = None
        copy = self._copy_of(match.path, place)
        if copy is None:
            if self._go_on_in_packed(match.path, place):
                return
            path, offset = shown(match.path), place.offset
            logger.warning(
                "%s is not what it was up to byte %d: it is read from its beginning; what followed that byte is lost, "
                "unless it is in a file that is read",
                path,
                offset,
            )
            return
        file = FollowedFile(*copy, place, PlainReader(place, self._cutting))
        file.modified = modified_at(file.path)  # copies that were made later are of the same stream
        self._go_on_in_copy(file)

    def _copy_of(self, path: str, place: Place) -> tuple[str, str] | None:
        """Key and path of the copy, unless it is being read for itself."""
        found = find_copy(path, place)
        if found is None:
            return None
        try:
            key = key_of(Path(found).stat())
        except OSError:
            return None
        known = self._by_key.get(key)
        if key in self._entries or (known is not None and known.place.offset > 0):
            return None
        if known is not None:
            self._drop(known)
        return key, found

    def _go_on_in_copy(self, file: FollowedFile) -> None:
        logger.info("%s holds what was truncated away; it is read on from there", shown(file.path))
        file.rotated = file.copy = True
        file.seen, file.grew_at = None, time.monotonic()
        self._by_key[file.key] = file
        self._turns.appendleft(file)
        self.changes[file.key] = file.acked.dump(shown(file.path))

    def _drop(self, file: FollowedFile) -> None:
        file.close()
        self._by_key.pop(file.key, None)
        self._open.pop(file.key, None)

    def _let_go(self, file: FollowedFile) -> None:
        """Forget a file that was rotated away, once there is nothing left to expect of it."""
        if file.matched or file.settled.stored != file.place.stored:
            return
        quiet = time.monotonic() - file.grew_at
        try:
            fd = self._descriptor(file) if quiet >= _QUIET * self._poll else None
        except OSError:
            return  # its folder is away
        if fd is None:
            return
        found = os.fstat(fd)
        if found.st_size == file.place.stored and (not found.st_nlink or file.copy or quiet > _KEPT):
            self._drop(file)
            self.changes[file.key] = None

    def _descriptor(self, file: FollowedFile) -> int | None:
        """The descriptor of the file, wherever it is now; None if it is nowhere."""
        if file.fd is None and not self._reopen(file):
            self._drop(file)
            file.lost = True
            self.changes[file.key] = None
            logger.warning(
                "%s is gone; what it held after byte %d, if anything, is lost",
                shown(file.path),
                file.place.offset,
            )
            return None
        self._open[file.key] = file
        self._open.move_to_end(file.key)
        while len(self._open) > _DESCRIPTORS:
            self._open.popitem(last=False)[1].close()
        return file.fd

    def _reopen(self, file: FollowedFile) -> bool:
        for path in (file.path, find_renamed(file.path, file.key)):
            if path is None:
                continue
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            if key_of(os.fstat(fd)) == file.key:
                file.fd = fd
                return True
            os.close(fd)
        return False
