"""The file source."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from msgspec import Struct
from pydantic import Field, model_validator

from connectors.file.finite import FiniteFiles
from connectors.file.following import FollowingFiles
from connectors.file.matching import Matcher, shown
from connectors.file.place import Place
from connectors.file.reader import Cutting
from connectors.file.tracked import TrackedFile, lags
from connectors.file.worker import Worker
from router import (
    PIECE,
    Batch,
    Constant,
    Duration,
    EndOfStream,
    Framed,
    FramingSetting,
    Lag,
    NotConnected,
    Settings,
    Size,
    framing_of,
)


class FileSourceConfig(Settings):
    """The settings of a file source."""

    path: (
        Annotated[str, Field(min_length=1)] | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
    )
    """A path or a glob (`*`, `?`, `[a-z]`, `**`), or several; relative to the daemon's file."""
    follow: bool = False
    """Whether to go on with what is appended, and with files that appear, until stopped."""
    start: Literal["begin", "end"] = "begin"
    """When following for the first time: begin at the beginning or at the end of the files that are there."""
    framing: FramingSetting | None = None
    """How records are told apart. By default as goes with `decode`: lines of JSON, rows of `csv`, and so on."""
    max_record: Annotated[Size, Field(gt=0, le=PIECE)] = 1 << 20
    """The longest record, in bytes. A longer one becomes a dead letter."""
    read: Annotated[Size, Field(gt=0, le=PIECE)] = 2 << 20
    """How much to read at a time, in bytes; the size of a batch."""
    poll: Annotated[Duration, Field(gt=0)] = 0.25
    """How often to look for what is new, when following."""

    @model_validator(mode="after")
    def _can_be_followed(self) -> Self:
        if self.follow and self.framing is not None and not self.framing.is_endless:
            raise ValueError(
                f"framing: {self.framing.type} does not go with follow, since a file that grows has no end"
            )
        return self


class Token(Struct, frozen=True, eq=False):
    """The place in a file up to which a batch reads; ``ended_at`` as in TrackedFile."""

    file: TrackedFile
    place: Place
    ended_at: float | None


class FileSource:
    r"""Reads lines from files, once or as they grow.

    **Records** are the lines, without their `\n` and a `\r` before it, as bytes. Empty lines are none; a line of white
    space is one, which as JSON is not readable and so becomes a dead letter. Rules see `meta.path`, the absolute path
    under which the file was found. A last line without newline is a record when not following; when following it waits
    for its newline, or until the file was rotated away and has been quiet for 20 polls. A line longer than `max_record`
    becomes a dead letter, whole up to 64 MiB and in pieces above.

    **Guarantee**: at least once; after a restart it goes on at the acknowledged byte. A token is a place in a file.
    Places are kept by device and inode, with fingerprints of the file's first KiB and of the KiB before the place, so
    that a file which rotation renames is read to its end before the new one, and one that is copied and truncated is
    begun anew. Files that an earlier run has finished are not read again, unless they grew. A file that was deleted is
    read to its end and forgotten.

    **Order** is kept within a file. Not following, the files are read in the order of their paths, and then the source
    has ended. Following, they are read in turns, the oldest first.

    **Rotation**, when following:

    - A renamed file is found by its inode in its folder, under whatever name, and read to its end.
    - What the path held between the last file known and the present one is read too, in order of time of change: after
      rotations while the daemon was down, or faster than `poll`. These files are known by their names: that of the path
      with a number, a date or `old` after it (`x.log.1`, `x.log-20260101`, `x.log.old`) or with a date before its
      ending (`x-20260101.log`), with or without `.gz`, `.zst`. They must be in the same folder and changed no earlier
      than the last file known.
    - A file that was compressed while the daemon was down is read on in its compressed form, if that begins with what
      was read. While it is running it has the file open, so it loses nothing when the file is compressed or deleted.
    - After `copytruncate`, what was not read is read from the copy, known by its content and by a name that begins with
      the same stem; without one a warning says how much was lost. A glob should not match copies: one that is seen
      before the original is truncated is a file like any other, and its lines come again.
    - Lost is what was deleted, moved to another folder or named otherwise before it was seen. A warning says from which
      byte of a known file; of files that were never seen nothing can be said. When the last file known is gone, those
      that came between it and the present one are not looked for, and neither are they after a restart before which
      nothing of the last file had been acknowledged. Keep as many rotated files as the daemon may be down for.

    **Compressed** files (gzip, and zstd with the extra `zstd`, by their first bytes or name) are read when not
    following; when following, only those that rotation has made of a file that is followed. One that breaks off or is
    corrupt is delivered as far as it can be read, and a dead letter says where it broke. What stands before the fault
    may be wrong, too: of a gzip member only its end tells whether it is right.

    **Lag**, for each file: the bytes not yet acknowledged (an unfinished last line counts), the records these are at
    the mean size seen, and the age of the oldest of them: the seconds since the file held nothing that is not
    acknowledged now; if that never was, since it was changed last or first met, whichever is longer ago. For a
    compressed file, bytes are stored bytes.

    **Away** is a path that does not exist (a glob may match nothing), is no regular file, or may not be read. When
    following, a missing path is waited for if there is something else to read, and a file of a glob that may not be
    read is tried again at every poll.
    """

    Config: ClassVar[type[FileSourceConfig]] = FileSourceConfig
    example: ClassVar[str] = """
        sources:
          orders: {type: file, path: "logs/*.ndjson", follow: true}
    """
    replays: ClassVar[bool] = True
    ack_order: ClassVar[Literal["read", "any"]] = "read"

    def __init__(self, config: FileSourceConfig) -> None:
        self.config = config
        self._worker: Worker | None = None
        self._files: FiniteFiles | FollowingFiles | None = None
        self._ahead: Future[Batch | None] | None = None

    def peek(self) -> str:
        """A file is read by any number of readers; what is kept of it are positions alone."""
        return ""

    async def open(self) -> None:
        """Find the files and where to go on in each. Raises NotConnected."""
        await self.close()
        self._worker = Worker(f"file-source-{self.config.context.name}")
        self._files = self._make_files()
        try:
            await self._worker.run(self._files.open)
        finally:
            await self._save_changes(self._files)  # it has begun, even if there is nothing to read yet

    async def read(self) -> Batch:
        """The lines of the next chunk of a file. Raises EndOfStream, NotConnected.

        When cancelled, what was read comes again after the next ``open()``: nothing is saved before ``ack``.
        """
        if self._files is None or self._worker is None:
            raise NotConnected("the source is not open")
        while True:
            batch = await self._next(self._files, self._worker)
            await self._save_changes(self._files)
            if batch is not None:
                if batch.values:
                    return batch
            elif self.config.follow:
                await asyncio.sleep(self.config.poll)
            else:
                raise EndOfStream

    async def _next(self, files: FiniteFiles | FollowingFiles, worker: Worker) -> Batch | None:
        """What the next chunk holds, which may be nothing; None when there is none. Of files that are read once, the
        chunk after it is read meanwhile: cutting it takes about as long as deciding about this one."""
        if isinstance(files, FollowingFiles):
            return await worker.run(_next_batch, files)
        if self._ahead is None or self._ahead.cancelled():
            self._ahead = worker.begin(_next_batch, files)
        batch = await asyncio.wrap_future(self._ahead)
        self._ahead = None if batch is None else worker.begin(_next_batch, files)
        return batch

    async def ack(self, token: Any) -> None:
        """Everything up to the token's place is safe elsewhere: remember it."""
        assert isinstance(token, Token)  # noqa: S101 - the router hands back what read() gave it
        file = token.file
        file.acked = token.place
        file.level_at = token.ended_at or file.level_at
        if not file.lost:
            await self.config.context.positions.save({file.key: token.place.dump(shown(file.path))})

    async def lag(self) -> list[Lag]:
        """How far each file is behind; beyond a hundred files, the others as one, ``other``."""
        if self._files is None or self._worker is None:
            return []
        files = self._files
        return await self._worker.run(lambda: lags(files.files))

    async def close(self) -> None:
        """Give back all descriptors, after the chunk that is being read."""
        worker, files = self._worker, self._files
        self._worker = self._files = self._ahead = None
        if worker is not None:
            try:
                if files is not None:
                    await worker.run(files.close)
            finally:
                worker.stop()

    def _make_files(self) -> FiniteFiles | FollowingFiles:
        config = self.config
        paths = [config.path] if isinstance(config.path, str) else config.path
        # Only text: normalising the pattern would resolve `..` against links, against what was written.
        matcher = Matcher([str(Path(config.context.folder, path).absolute()) for path in paths])
        entries = config.context.positions.load()
        framing = framing_of(config.framing, config.context.format)
        cutting = Cutting(framing, config.max_record, config.read)
        if not config.follow:
            return FiniteFiles(matcher, entries, cutting)
        return FollowingFiles(matcher, entries, cutting, poll=config.poll, start=config.start)

    async def _save_changes(self, files: FiniteFiles | FollowingFiles) -> None:
        if files.changes:
            changes, files.changes = files.changes, {}
            await self.config.context.positions.save(changes)


def _next_batch(files: FiniteFiles | FollowingFiles) -> Batch | None:
    found = files.next()
    return None if found is None else _batch(*found)


def _batch(file: TrackedFile, lines: Framed) -> Batch:
    return Batch(
        lines.values,
        token=Token(file, file.delivered, file.ended_at),
        attributes={"path": Constant(shown(file.path), len(lines.values)), **lines.attributes},
        spoiled=lines.spoiled,
        size=lines.size,
        ascii=lines.ascii,
        lines=lines.lines,
        fields=lines.fields,
    )
