"""What is asked to be replayed: letters, by the job that asked for them.

A command begins a job and names its letters; the daemon that runs, or the next one, or the command itself replays
them. The job tells the command what became of each.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from functools import partial

from router.audit import Audit, tell
from router.audit_chain import Entry
from router.deadletters import PAGE_BYTES, PAGE_LETTERS, DeadLetters
from router.errors import StateError
from router.letter import Letter
from router.letter_table import select
from router.storable import tame_text

log = logging.getLogger(__name__)

_KEPT_SECONDS = 7 * 86_400
"""So long a job that has ended is kept for whoever asks how it ended."""
_REQUESTED = (
    "replays CROSS JOIN letters USING (id) CROSS JOIN kinds ON kinds.id = kind "
    "WHERE job = ? AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = job AND rate = 0) "
    "AND replays.id NOT IN (SELECT value FROM json_each(?)) ORDER BY replays.id"
)
_LEFT = "requested > delivered + again + gone"


@dataclass(frozen=True, slots=True)
class Progress:
    """How a job stands, in letters: so many were requested, of which so many were delivered, became letters again, or
    are gone (purged, withdrawn, or taken over by another job)."""

    requested: int
    delivered: int
    again: int
    gone: int

    @property
    def waiting(self) -> int:
        """How many are still to be replayed, or on their way."""
        return self.requested - self.delivered - self.again - self.gone


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job whose letters wait: so many a second may go at most, and whether all of them go ``through_flow``."""

    job: int
    rate: float | None
    through_flow: bool


class ReplayJobs:
    """The jobs of a store. Every method raises StateError when the store cannot be read or written."""

    def __init__(self, letters: DeadLetters) -> None:
        self._letters = letters
        self._state = letters.state

    async def begin(self, rate: float | None = None, *, through_flow: bool = False) -> int:
        """A new job, without letters yet, whose letters are replayed at so many a second at most; with
        ``through_flow`` those of stage ``sink``, too, go through their flow."""
        return await self._state.write(partial(_begin, rate=rate, through_flow=through_flow))

    async def request(self, job: int, ids: Collection[int]) -> None:
        """Have these letters replayed, as far as they are there. One that another job waits for is this job's now."""
        await self._state.write(partial(_request, job=job, ids=ids))

    async def close(self, job: int, actor: str) -> None:
        """All of its letters are requested, by ``actor``. Once none waits, the audit is to tell how it ended."""
        await self._state.write(partial(_close, job=job, actor=actor))

    async def tell_ends(self, audit: Audit) -> None:
        """Write an entry for each closed job that has ended, once, whoever replayed its letters. Where that cannot be
        written, it is logged, and written when this is next called."""
        columns = "job, actor, requested, delivered, again, gone"
        ended = self._state.look_up(
            f"SELECT {columns} FROM open_jobs JOIN jobs ON jobs.id = job "  # noqa: S608 - constants
            "WHERE requested = delivered + again + gone ORDER BY job"
        )
        for job, actor, *counts in ended:
            detail = {"step": "ended", "job": job, **asdict(Progress(*counts))}
            try:
                write = partial(_tell_end, job=job, write=audit.writing("replay", actor, detail))
                if entry := await self._state.write(write):
                    tell(entry)
            except StateError as error:
                log.error("the audit cannot be written (replay %d has ended: %s): %s", job, detail, error)
                return

    async def withdraw(self, job: int) -> None:
        """What is not on its way yet stays where it is; the rest is counted as what becomes of it.

        What is on its way, only who holds the state folder can tell: where that is another process, the letters wait
        until it next calls ``leave``, but none of them goes.
        """
        await self._state.write(partial(_withdraw, job=job))
        if self._state.is_held:
            await self.leave()

    async def leave(self) -> None:
        """No withdrawn job waits any more for what is not on its way."""
        for (job,) in self._state.look_up(f"SELECT id FROM jobs WHERE rate = 0 AND {_LEFT}"):  # noqa: S608 - constants
            while await self._letters.spare(partial(_leave, job=job)):
                pass

    def find(self, job: int) -> Progress | None:
        """How it stands; None when there is no such job. Takes microseconds."""
        columns = "requested, delivered, again, gone"
        found = self._state.look_up(f"SELECT {columns} FROM jobs WHERE id = ?", (job,))  # noqa: S608 - constants
        return Progress(*found[0]) if found else None

    def progress(self, job: int) -> Progress:
        """How it stands; as if nothing had been requested when there is no such job. Takes microseconds."""
        return self.find(job) or Progress(0, 0, 0, 0)

    def waiting(self) -> list[Waiting]:
        """The jobs whose letters wait, and are to go. Takes microseconds."""
        goes = f"{_LEFT} AND rate IS NOT 0"
        query = f"SELECT id, rate, through_flow FROM jobs WHERE {goes} ORDER BY id"  # noqa: S608 - constants
        return [Waiting(job, rate, bool(through_flow)) for job, rate, through_flow in self._state.look_up(query)]

    async def claim(self, job: int, limit: int = PAGE_LETTERS, size: int = PAGE_BYTES) -> list[Letter]:
        """Letters that a job waits for, oldest first, at most ``limit`` and about ``size`` bytes of payload.

        A claimed letter is not claimed again until it is released, nor lost if the process dies: it stays until it is
        deleted, or replaced.
        """
        return await self._letters.take(partial(_requested, job=job, limit=limit, size=size))


def _begin(connection: sqlite3.Connection, *, rate: float | None, through_flow: bool) -> int:
    now = time.time_ns()
    connection.execute(
        "DELETE FROM jobs WHERE time < ? AND id NOT IN (SELECT job FROM replays UNION SELECT job FROM open_jobs)",
        (now - _KEPT_SECONDS * 10**9,),
    )
    values = (now, rate, through_flow)
    made = connection.execute("INSERT INTO jobs (time, rate, through_flow) VALUES (?, ?, ?)", values)
    return int(made.lastrowid or 0)


def _request(connection: sqlite3.Connection, *, job: int, ids: Collection[int]) -> None:
    listed = (json.dumps(list(ids)),)
    taken = connection.execute(
        "SELECT count(*), job FROM replays WHERE id IN (SELECT value FROM json_each(?)) GROUP BY job", listed
    ).fetchall()
    connection.executemany("UPDATE jobs SET gone = gone + ? WHERE id = ?", taken)
    # Through letters: what was purged since the ids were found has no replay.
    made = connection.execute(
        "INSERT OR REPLACE INTO replays SELECT id, ? FROM letters WHERE id IN (SELECT value FROM json_each(?))",
        (job, *listed),
    ).rowcount
    connection.execute("UPDATE jobs SET requested = requested + ? WHERE id = ?", (made, job))


def _close(connection: sqlite3.Connection, *, job: int, actor: str) -> None:
    connection.execute("INSERT OR REPLACE INTO open_jobs VALUES (?, ?)", (job, tame_text(actor)))


def _tell_end(
    connection: sqlite3.Connection, *, job: int, write: Callable[[sqlite3.Connection], Entry]
) -> Entry | None:
    """The entry and that it is written, in one step; a command and a daemon may both come here."""
    is_open = connection.execute("DELETE FROM open_jobs WHERE job = ?", (job,)).rowcount
    return write(connection) if is_open else None


def _withdraw(connection: sqlite3.Connection, *, job: int) -> None:
    connection.execute("UPDATE jobs SET rate = 0 WHERE id = ?", (job,))  # nothing more of it is to go


def _leave(connection: sqlite3.Connection, taken: Collection[int], *, job: int) -> int:
    gone = connection.execute(
        "DELETE FROM replays WHERE id IN (SELECT id FROM replays WHERE job = ? "
        "AND id NOT IN (SELECT value FROM json_each(?)) LIMIT ?)",
        (job, json.dumps(list(taken)), PAGE_LETTERS),
    ).rowcount
    connection.execute("UPDATE jobs SET gone = gone + ? WHERE id = ?", (gone, job))
    return gone


def _requested(
    connection: sqlite3.Connection, taken: Collection[int], *, job: int, limit: int, size: int
) -> list[Letter]:
    return select(connection, _REQUESTED, (job, json.dumps(list(taken))), limit, size)
