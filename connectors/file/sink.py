"""The file sink."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from connectors.file.destination import Destination
from connectors.file.journal import Append, Journal
from connectors.file.output import OutputFile, Refused, make_sure_of_room, sync_folder
from connectors.file.packed import Compression, Packing, packer
from connectors.file.rotation import move_aside, prune
from connectors.file.worker import Worker
from router import (
    Batch,
    Constant,
    Duration,
    FramingSetting,
    NotConnected,
    PerRecord,
    Settings,
    Size,
    WriteError,
    framing_of,
)

logger = logging.getLogger(__name__)

# What says that a path is wrong; every other error says that the system is.
_PATH_ERRORS = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.EEXIST,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.EINVAL,
        errno.ENXIO,
        errno.ETXTBSY,
    }
)
_REMEMBERED = 4096  # closed files whose size is remembered, so that opening them again needs no repair


class Rotate(Settings):
    """When a file is moved out of the way, and how many of those remain."""

    bytes: Annotated[Size, Field(gt=0)] | None = None
    """Before a write that would make the file larger than this. A write is what one batch has for the file and is not
    cut, so a batch that is larger makes a file of its own that is."""
    every: Annotated[Duration, Field(ge=1)] | None = None
    """Before the first write of each such period, counted in UTC: `1h` is on the hour, `1d` at midnight."""
    keep: Annotated[int, Field(ge=1)] | None = None
    """How many to keep; older ones are deleted. Without it, all."""

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        if self.bytes is None and self.every is None:
            raise ValueError("rotate should say when: bytes, every, or both")
        return self


class FileSinkConfig(Settings):
    """The settings of a file sink."""

    path: Annotated[str, Field(min_length=1), PerRecord()]
    """The file, relative to the daemon's file. It may hold `${CEL}`; the folder before that is never left."""
    framing: FramingSetting | None = None
    """How records are told apart. By default as goes with what is written: lines of JSON, rows of CSV, and so on."""
    compression: Compression = "none"
    """Each write is a compressed member of its own, so the file can be read at any time."""
    fsync: Literal["batch", "interval", "never"] = "batch"
    """What is waited for before records count as written: an fsync for each batch, one at most every
    `fsync_interval`, or none (then a crash of the machine, not of the daemon, may lose what was acknowledged)."""
    fsync_interval: Annotated[Duration, Field(gt=0)] = 1.0
    """The shortest time between two fsyncs, with `fsync: interval`."""
    max_open: Annotated[int, Field(ge=1)] = 64
    """How many files are held open; the one not written to for longest is closed first."""
    rotate: Rotate | None = None
    """When to begin a new file. The present one is moved aside, to `name-<UTC time>-<n>.ext`."""

    def conflict(self, other: Settings) -> str:
        """A file is written by one sink: two that have the same one would wait for each other for ever."""
        same = isinstance(other, FileSinkConfig) and Path(other.path) == Path(self.path) and "${" not in self.path
        return f"both write {self.path}; one sink takes what any number of rules send it" if same else ""

    def refusals(self, chosen: Mapping[str, object]) -> Mapping[str, str]:
        """A path in which the base folder is left, or that is none."""
        try:
            if "path" in chosen:
                Destination(self.path, self.context.folder).resolve(chosen["path"])
        except Refused as error:
            return {"path": str(error)}
        return {}

    @field_validator("path")
    @classmethod
    def _is_a_path(cls, path: str) -> str:
        if "\0" in path:
            raise ValueError("path should be without a null character")
        return path

    @model_validator(mode="after")
    def _can_be_appended_to(self) -> Self:
        if self.framing is not None and self.framing.cannot_join:
            raise ValueError(f"framing: {self.framing.type} does not go with a file: {self.framing.cannot_join}")
        return self


class FileSink:
    """Appends records to files, one a line.

    **The base folder** is the path up to the last `/` before the first `${`, or the folder of the file. A record whose
    path would leave it, or cannot be a file, is a dead letter, the others are written; the sink's `allow` narrows
    further. Folders are made. A file that was renamed or deleted underneath is made anew. While it is open, a file is
    locked against other sinks and processes (flock).

    **Guarantee**: when a batch is acknowledged, its records are on the disk (`fsync: batch` and `interval`) or with the
    operating system (`never`). With `interval`, a write waits for the fsync that covers it, and there is one at most
    every `fsync_interval`: that saves the disk, and limits the sink to one write at a time each interval unless it was
    idle for longer. New files are synced with the folders that they are in. A file holds whole lines only: a write that
    failed is taken back, and a line that a crash has torn is moved to a file beside it (`.torn`) when the file is next
    opened, and a warning says so (a compressed file is unpacked once for that).

    **Once**: records that their source can tell apart (`http`, by an `Idempotency-Key`) are remembered when they are
    written, for a day at most and up to 100,000 of them: one that comes again, after a kill too, is not written again,
    and counted as an event `repeat`. What a kill left of such a write is taken back when the sink is next opened.

    **Payloads** that hold newlines are compacted without loss when they are JSON; any other is a dead letter.

    **Away** is a full or broken disk, or a configured file that may not be written: the flow waits, and nothing of the
    batch remains in any file, whichever of them failed. It stays so until as much can be written again.
    """

    Config: ClassVar[type[FileSinkConfig]] = FileSinkConfig
    example: ClassVar[str] = """
        sinks:
          archive:
            type: file
            path: "archive/${time.format(meta.time, '%Y-%m-%d')}.ndjson"
            compression: gzip
            rotate: {bytes: 1GiB, every: 1d, keep: 14}
    """

    def __init__(self, config: FileSinkConfig) -> None:
        self.config = config
        self._destination = Destination(config.path, config.context.folder)
        self._framing = framing_of(config.framing, config.context.format)
        self._worker: Worker | None = None
        self._packing: Packing | None = None if config.compression == "none" else config.compression
        self._pack: Callable[[bytes], bytes] = bytes
        self._journal = Journal(config.context.positions)
        self._files: OrderedDict[Path, OutputFile] = OrderedDict()
        self._clean: OrderedDict[Path, int] = OrderedDict()
        self._ends: dict[Path, int] = {}  # where each file ended before what is not yet committed
        self._folders: set[Path] = set()
        self._failed: OSError | None = None
        self._attempt: tuple[Path, int, int] | None = None  # the last append: file, where, how much
        self._to_probe: tuple[Path, int, int] | None = None  # the append that failed, until there is room for it
        self._synced_at = float("-inf")

    async def open(self) -> None:
        """Open the file, or see that the base folder can be written to. Raises NotConnected."""
        await self.close()
        worker = self._worker = Worker(f"file-sink-{self.config.context.name}")
        await self._journal.recover(worker.run)
        await worker.run(self._open)

    async def write(self, batch: Batch) -> None:
        """Append the records, each to its file. Raises WriteError for those that never can be, NotConnected.

        Cancelled, the records may have been written: they are repeated when they come again.
        """
        if self._worker is None:
            raise NotConnected("the sink is not open")
        refused = await (self._write_all if batch.ids is None else self._write_once)(batch, self._worker)
        if refused:
            raise WriteError(refused, retryable=False)

    async def _write_all(self, batch: Batch, worker: Worker) -> dict[int, str]:
        refused = await worker.run(self._write, batch)
        await self._wait_for_sync(worker)
        return refused

    async def _write_once(self, batch: Batch, worker: Worker) -> dict[int, str]:
        """Write what has not been written before, by the ids."""
        fresh = self._journal.unwritten(batch.ids or ())
        if len(fresh) < len(batch):
            self.config.context.count("repeat", len(batch) - len(fresh))
            if not fresh:
                return {}
            batch = batch.select(fresh)
        appends, refused = await worker.run(self._plan, batch)
        if appends:
            await self._journal.intend(appends, batch.ids_last)
            await worker.run(self._carry_out, appends)
            await self._wait_for_sync(worker)
            self._journal.done()
        return {fresh[index]: reason for index, reason in refused.items()}

    async def _wait_for_sync(self, worker: Worker) -> None:
        if self.config.fsync == "interval":
            await asyncio.sleep(max(0.0, self._synced_at + self.config.fsync_interval - time.monotonic()))
            await worker.run(self._commit)

    async def close(self) -> None:
        """Sync and close every file, after the write that is going on. Idempotent."""
        worker, self._worker = self._worker, None
        if worker is not None:
            try:
                await worker.run(self._close)
            finally:
                worker.stop()

    def _open(self) -> None:
        self._failed = None
        self._probe()
        self._pack = bytes if self._packing is None else packer(self._packing)
        fixed, base = self._destination.fixed, self._destination.base
        try:
            if fixed is not None:
                self._file(fixed, 0)
                return
            base.mkdir(parents=True, exist_ok=True)
        except Refused as error:
            raise NotConnected(str(error)) from error
        except OSError as error:
            raise NotConnected(f"{fixed or base} cannot be written: {error.strerror or error}") from error
        if not os.access(base, os.W_OK | os.X_OK, effective_ids=True):
            raise NotConnected(f"{base} cannot be written: permission denied")

    def _probe(self) -> None:
        """After a write for which there was no room, stay away until there is: an outage is no fault of a record."""
        if self._to_probe is None:
            return
        path, start, size = self._to_probe
        try:
            make_sure_of_room(path, start, size)
        except OSError as error:
            raise NotConnected(f"{path} cannot be written: {error.strerror or error}") from error
        self._to_probe = None

    def _write(self, batch: Batch) -> dict[int, str]:
        """Write the records; those that cannot be, with the reason. Raises NotConnected when nothing was."""
        refused: dict[int, str] = {}
        with self._undoing():
            for append in self._appends(batch, refused):
                self._append(append)
            self._settle()
        return refused

    def _plan(self, batch: Batch) -> tuple[list[Append], dict[int, str]]:
        """What is to be appended, and the records that cannot be, with the reason. Raises NotConnected."""
        refused: dict[int, str] = {}
        with self._undoing():
            return list(self._appends(batch, refused)), refused

    def _carry_out(self, appends: Sequence[Append]) -> None:
        """Append all of it. Raises NotConnected when nothing was."""
        with self._undoing():
            for append in appends:
                self._append(append)
            self._settle()

    @contextmanager
    def _undoing(self) -> Iterator[None]:
        self._raise_if_failed()
        try:
            yield
        except OSError as error:
            self._undo(error)
            self._raise_if_failed()

    def _settle(self) -> None:
        if self.config.fsync == "batch":
            self._sync()
        elif self.config.fsync == "never":
            self._forget()

    def _appends(self, batch: Batch, refused: dict[int, str]) -> Iterator[Append]:
        """What goes to the end of each file."""
        for path, indices in self._by_file(batch, refused).items():
            whole = len(indices) == len(batch)
            values = batch.values if whole else [batch.values[index] for index in indices]
            join = self._framing.join_lines if batch.lines else self._framing.join
            data, failed = join(values)
            refused.update({indices[at]: reason for at, reason in failed.items()})
            packed = self._pack(data) if data else b""
            file = self._file_for(path, len(packed), indices, refused) if packed else None
            if file is None:
                continue
            if not file.size and self._framing.head:
                packed = self._pack(self._framing.head) + packed
            ids = () if batch.ids is None else [batch.ids[index] for index in indices if index not in refused]
            yield Append(path, file.identity, file.size, packed, [name for name in ids if name is not None])

    def _append(self, append: Append) -> None:
        file = self._files.get(append.path) or self._open_file(append.path)
        self._ends.setdefault(append.path, file.size)
        self._attempt = (append.path, file.size, len(append.data))
        file.append(append.data)

    def _file_for(self, path: Path, coming: int, indices: Sequence[int], refused: dict[int, str]) -> OutputFile | None:
        """The file for these records; None where they cannot be written. Raises OSError when nothing can be."""
        try:
            return self._file(path, coming)
        except Refused as error:
            self._refuse(path, indices, str(error), refused)
        except OSError as error:
            if error.errno not in _PATH_ERRORS or path == self._destination.fixed:
                raise
            self._refuse(path, indices, f"{path} cannot be written: {error.strerror}", refused)
        return None

    def _refuse(self, path: Path, indices: Sequence[int], reason: str, refused: dict[int, str]) -> None:
        if path == self._destination.fixed:
            raise OSError(errno.EBUSY, reason)  # the operator's to mend: the records wait
        for index in indices:
            refused.setdefault(index, reason)

    def _by_file(self, batch: Batch, refused: dict[int, str]) -> dict[Path, Sequence[int]]:
        """The indices of the records that go to each file."""
        files: dict[Path, Sequence[int]] = {}
        for path, indices in _by_value(batch.settings.get("path"), len(batch)).items():
            try:
                file = self._destination.resolve(path)
            except Refused as error:
                refused.update(dict.fromkeys(indices, str(error)))
                continue
            files[file] = sorted([*files[file], *indices]) if file in files else indices
        return files

    def _file(self, path: Path, coming: int) -> OutputFile:
        """The file, open, with room for what is coming. Raises OSError, Refused."""
        file = self._files.get(path)
        if file is not None and file.replaced:
            self._leave(path)
            file = None
        file = file or self._open_file(path)
        if self._is_due(file, coming):
            self._leave(path)
            move_aside(path)
            if self.config.rotate is not None and self.config.rotate.keep is not None:
                prune(path, self.config.rotate.keep)
            file = self._open_file(path)
        self._files.move_to_end(path)
        return file

    def _open_file(self, path: Path) -> OutputFile:
        while len(self._files) >= self.config.max_open:
            self._shut(next(iter(self._files)))
        links = path == self._destination.fixed  # the operator's links are meant; a record's have been resolved
        file = OutputFile(path, self._framing, self._packing, links=links, clean=self._clean.pop(path, None))
        self._files[path] = file
        self._folders.update(file.folders)
        return file

    def _is_due(self, file: OutputFile, coming: int) -> bool:
        rotate = self.config.rotate
        if rotate is None or not file.size:
            return False
        if rotate.bytes is not None and file.size + coming > rotate.bytes:
            return True
        return rotate.every is not None and time.time() // rotate.every != file.modified // rotate.every

    def _leave(self, path: Path) -> None:
        """Close the file for good; what the path leads to from now on is another one. Raises OSError."""
        self._shut(path)
        self._clean.pop(path, None)
        self._ends.pop(path, None)

    def _shut(self, path: Path) -> None:
        """Sync and close the file. Raises OSError."""
        file = self._files.pop(path)
        try:
            if path in self._ends and self.config.fsync != "never":
                file.sync()
        finally:
            file.close()
        self._clean[path] = file.size
        while len(self._clean) > _REMEMBERED:
            self._clean.popitem(last=False)

    def _commit(self) -> None:
        """Sync what has been written since the last time, by whichever write. Raises NotConnected."""
        self._raise_if_failed()
        try:
            self._sync()
        except OSError as error:
            self._undo(error)
            self._raise_if_failed()

    def _sync(self) -> None:
        for path in self._ends:
            if path in self._files:  # one that is closed was synced then
                self._files[path].sync()
        for folder in self._folders:
            sync_folder(folder)
        self._forget()
        self._synced_at = time.monotonic()

    def _forget(self) -> None:
        self._ends.clear()
        self._folders.clear()

    def _undo(self, error: OSError) -> None:
        """Take back everything that is not committed: it will be written again, so it must not be there twice."""
        self._failed, self._to_probe = error, self._attempt
        for path, end in self._ends.items():
            try:
                if path in self._files:
                    self._files[path].cut(end)
                else:
                    os.truncate(path, end)
                    self._clean[path] = end
            except OSError as again:
                logger.error("%s cannot be taken back to %d bytes (%s): records may repeat", path, end, again.strerror)
        self._ends.clear()

    def _raise_if_failed(self) -> None:
        if self._failed is not None:
            error = self._failed
            where = error.filename or self._destination.fixed or self._destination.base
            raise NotConnected(f"{where} cannot be written: {error.strerror or error}") from error

    def _close(self) -> None:
        for path in list(self._files):
            try:
                if self._failed is None:
                    self._files[path].sync()
                self._shut(path)
            except OSError as error:
                logger.warning("%s was not closed cleanly: %s", path, error.strerror)
                self._clean.pop(path, None)
        self._forget()


def _by_value(column: Sequence[object] | None, length: int) -> dict[object, Sequence[int]]:
    """The indices at which the column has each of its values; None everywhere if there is no column."""
    if column is None or isinstance(column, Constant):
        return {None if column is None else _hashable(column.value): range(length)}
    try:
        distinct = dict.fromkeys(column)
    except TypeError:
        return _by_value(list(map(_hashable, column)), length)
    if len(distinct) == 1:
        return {value: range(length) for value in distinct}
    indices: dict[object, list[int]] = {value: [] for value in distinct}
    for index, value in enumerate(column):
        indices[value].append(index)
    return dict(indices)


def _hashable(value: object) -> object:
    """The value if it may be a path, else its type: a list or map where a path should be is refused later."""
    return value if value is None or isinstance(value, str) else type(value)
