"""The tables that a daemon, or a command, has: what is in them now, how old that is, and how it is kept fresh."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from router.tables.reading import Found, Stamp, TableError, read, stamp
from router.tables.settings import SqlTable, TableSpec
from rules.cel.surroundings import Rows, Surroundings, Table
from rules.faults import Fault, Refused

if TYPE_CHECKING:
    from router.metrics import Metrics, TableMetrics  # only those who count pay for loading it

log = logging.getLogger(__name__)

_MANY: Final = 10_000
_REMINDER_SECONDS: Final = 600.0
"""So often a table is told of that goes on failing in the same way."""


class Tables:
    """Every table of a configuration, by name. They are empty until they are loaded; those that are the same as
    ``before``, in the configuration that runs, go on as they are.

    ``around`` is what expressions see of them, and of the secrets. Nothing here blocks but ``load_now``: tables are
    read in threads, and what was read takes the place of what was there at once, between two records.
    """

    def __init__(
        self,
        specs: Mapping[str, TableSpec],
        secrets: Mapping[str, str],
        folder: Path,
        mask: Callable[[str], str] = lambda text: text,
        before: Tables | None = None,
    ) -> None:
        known = {} if before is None else before.loaded
        self.loaded: dict[str, Loaded] = {
            name: known[name] if name in known and known[name].is_of(spec, folder) else Loaded(spec, folder, mask)
            for name, spec in specs.items()
        }
        self._new = {name for name, loaded in self.loaded.items() if loaded is not known.get(name)}
        self._found: dict[str, Found] = {}
        self.around = Surroundings({name: loaded.table for name, loaded in self.loaded.items()}, secrets)

    def load_now(self, *, databases: bool = True) -> None:
        """Read every table here and now; without ``databases``, only what lies in files. Raises Refused with a fault
        for each that cannot be had."""
        faults = [
            fault
            for loaded in self.loaded.values()
            if databases or not isinstance(loaded.spec.settings, SqlTable)
            if (fault := loaded.load_now()) is not None
        ]
        if faults:
            raise Refused(faults)

    async def load(self) -> None:
        """Read every table, side by side; of one that goes on, a file that has changed and is not read again by itself.
        Raises Refused as ``load_now`` does. May be cancelled; what is being read then is read in vain."""
        faults = await asyncio.gather(*map(self._load, self.loaded))
        if found := [fault for fault in faults if fault is not None]:
            raise Refused(found)

    async def _load(self, name: str) -> Fault | None:
        loaded = self.loaded[name]
        if name in self._new:
            return await loaded.load()
        try:
            found = await loaded.look()
        except Exception as error:  # noqa: BLE001 - a driver may raise anything
            return loaded.fault(error)
        if found is not None:
            self._found[name] = found
        return None

    def begin(self, metrics: Metrics) -> None:
        """Once they are loaded: these are the tables that expressions look into now, and that are counted."""
        for name, loaded in self.loaded.items():
            loaded.begin(metrics.table(name), self._found.pop(name, None), is_new=name in self._new)
        self._new.clear()

    def are_those_of(self, other: Tables) -> bool:
        """Whether they are the same ones, whatever is in them."""
        return self.loaded == other.loaded

    def refreshing(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """By name, what keeps each table fresh that is to be: to be run until it is cancelled."""
        return {
            name: loaded.keep_fresh for name, loaded in self.loaded.items() if loaded.spec.settings.refresh is not None
        }

    def status(self) -> dict[str, object]:
        """Every table with its figures, as JSON values."""
        return {name: loaded.status() for name, loaded in self.loaded.items()}


class Loaded:
    """One table."""

    def __init__(self, spec: TableSpec, folder: Path, mask: Callable[[str], str]) -> None:
        self.spec = spec
        self.table = Table()
        self._folder = folder
        self._mask = mask
        self._metrics: TableMetrics | None = None
        self._stamp: Stamp | None = None
        self._confirmed = time.monotonic()
        self._error = ""
        self._told = -_REMINDER_SECONDS
        self._reading: asyncio.Future[Found | None] | None = None

    def is_of(self, spec: TableSpec, folder: Path) -> bool:
        """Whether it is what this says, too."""
        return self.spec.settings == spec.settings and self._folder == folder

    # The first time

    def load_now(self) -> Fault | None:
        """Read it here and now; what is wrong with it, if anything is."""
        try:
            self._take(read(self.spec.settings, self._folder))
        except Exception as error:  # noqa: BLE001 - a driver may raise anything
            return self.fault(error)
        return None

    async def load(self) -> Fault | None:
        """Read it; what is wrong with it, if anything is."""
        try:
            self._take(await self._read(lambda: read(self.spec.settings, self._folder)))
        except Exception as error:  # noqa: BLE001 - a driver may raise anything
            return self.fault(error)
        return None

    async def look(self) -> Found | None:
        """What it holds now, if its file has changed, and nobody reads it again in time."""
        return None if self.spec.watched is None else await self._read(self._changed)

    def fault(self, error: Exception) -> Fault:
        """What is wrong with it, where it stands in the configuration."""
        setting = error.setting if isinstance(error, TableError) else ""
        what, hint = (error.what, error.hint) if isinstance(error, TableError) else (_reason(error), "")
        place = self.spec.places.get(setting, self.spec.place)
        return Fault(place, self._mask(f"table `{self.spec.name}` cannot be loaded: {what}"), self._mask(hint))

    # Ever after

    async def keep_fresh(self) -> None:
        """Read the table again, time after time. What cannot be read is told of, and the table stays as it was."""
        refresh = self.spec.settings.refresh
        while refresh is not None:
            await asyncio.sleep(refresh)
            try:
                found = await self._read(self._changed)
            except Exception as error:  # noqa: BLE001 - a driver may raise anything
                self._failed(self._mask(_reason(error)))
                continue
            if found is None:
                self._confirmed = time.monotonic()
            else:
                self._take(found)
            self._count("unchanged" if found is None else "loaded")
            if self._error:
                log.info("table %s: can be read again; it has %d row(s)", self.spec.name, len(self.table))
            self._error, self._told = "", -_REMINDER_SECONDS

    def _changed(self) -> Found | None:
        """The rows anew, unless no file has changed since."""
        settings = self.spec.settings
        if self._stamp is not None:
            try:
                if stamp(settings, self._folder) == self._stamp:
                    return None
            except OSError:
                pass  # reading says what is the matter
        return read(settings, self._folder)

    def _failed(self, reason: str) -> None:
        self._count("failed")
        now = time.monotonic()
        if reason != self._error or now - self._told >= _REMINDER_SECONDS:
            self._told = now
            log.warning(
                "table %s cannot be read again, and stays as it was %d s ago, with %d row(s): %s",
                *(self.spec.name, self._age, len(self.table), reason),
            )
        self._error = reason

    async def _read(self, work: Callable[[], Found | None]) -> Found | None:
        """What ``work`` gives, done in a thread. One that takes too long is left to itself, and waited for before the
        next begins."""
        if self._reading is not None and not self._reading.done():
            raise TableError("the last reading of it has not ended yet")
        timeout = self.spec.settings.timeout
        self._reading = _in_thread(f"table {self.spec.name}", work)
        done, _ = await asyncio.wait([self._reading], timeout=timeout)
        if not done:
            raise TableError(f"reading it takes longer than {timeout:g} s", "should be quicker, or `timeout` longer")
        return self._reading.result()

    def _take(self, found: Found | None) -> None:
        if found is not None:
            rows, self._stamp = found
            _let_go(self.table.replace(rows))
            self._confirmed = time.monotonic()

    # Telling

    @property
    def _age(self) -> float:
        """Seconds since the table was known to be what it was read from."""
        return time.monotonic() - self._confirmed

    def begin(self, metrics: TableMetrics, found: Found | None, *, is_new: bool) -> None:
        """Count what happens there from now on, and have what was found, if anything was."""
        self._metrics = metrics
        metrics.age.set_function(lambda: self._age)
        self._take(found)
        if is_new or found is not None:
            self._count("loaded")

    def _count(self, result: str) -> None:
        if self._metrics is not None:
            self._metrics.refreshes[result].inc()
            self._metrics.rows.set(len(self.table))

    def status(self) -> dict[str, object]:
        """Its figures, as JSON values."""
        return {
            "type": self.spec.settings.type,
            "rows": len(self.table),
            "age_seconds": round(self._age, 3),
            "refresh_seconds": self.spec.settings.refresh,
            "error": self._error or None,
        }


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, TableError) else f"{type(error).__name__}: {error}"


def _let_go(rows: Rows) -> None:
    """Free rows that nobody needs any more: many at once would hold up the loop."""

    def run() -> None:
        while rows:
            rows.popitem()

    if len(rows) > _MANY:
        threading.Thread(target=run, name="rows of before", daemon=True).start()


def _in_thread(name: str, work: Callable[[], Found | None]) -> asyncio.Future[Found | None]:
    """What ``work`` gives, done in a thread of its own. Unlike an executor's, it never keeps the process alive: a
    database may not answer for hours."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Found | None] = loop.create_future()

    def settle(found: Found | None, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is None:
            outcome.set_result(found)
        else:
            outcome.set_exception(error)
            outcome.exception()  # nobody may be there any more to hear of it

    def run() -> None:
        found, failure = None, None
        try:
            found = work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the outcome is awaited
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop may have ended meanwhile
            loop.call_soon_threadsafe(settle, found, failure)

    threading.Thread(target=run, name=name, daemon=True).start()
    return outcome
