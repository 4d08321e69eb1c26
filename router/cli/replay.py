"""``sluiceway dead replay``: dead letters once more, by the daemon that runs or, without one, by this process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import typer
from msgspec import Struct

from router.audit import Audit, os_user
from router.cli.chosen import Chosen
from router.cli.dead import letters_of, refuse, see_that_it_is_meant
from router.cli.faults import load_or_exit, show
from router.config import Configuration
from router.deadletters import DeadLetters
from router.errors import StateError
from router.replay_jobs import Progress, ReplayJobs
from router.state import StateDir
from router.units import parse_duration
from rules.faults import Refused

POLL_SECONDS = 0.2
LAND_SECONDS = 10.0
"""So long what is on its way may take to land when the command is interrupted."""


def replay_letters(
    files: Sequence[Path],
    chosen: Chosen,
    *,
    everything: bool,
    wait: str,
    rate: float | None,
    through_flow: bool,
    dry_run: bool,
) -> None:
    """Have letters replayed, and say what became of them. Exit status 1 when some are still waiting, were left, or have
    come back as letters of their own."""
    see_that_it_is_meant(chosen, everything, "replay")
    try:
        patience = parse_duration(wait)
    except ValueError as error:
        refuse(f"--wait: {error}")
    configuration = load_or_exit(files)
    if dry_run:
        with letters_of(configuration) as letters:
            return asyncio.run(_count(letters, chosen, configuration, through_flow=through_flow))
    try:
        state, visits = StateDir.open(configuration.state_dir), False
    except StateError:
        state, visits = StateDir.visit(configuration.state_dir), True
    with state:
        replay = _Replay(configuration, state, chosen, rate, patience, through_flow=through_flow)
        try:
            replayed = asyncio.run(replay.there() if visits else replay.here())
        except Refused as refused:
            show(refused.faults)
            raise typer.Exit(2) from refused
    print(replayed)
    raise typer.Exit(0 if replayed.is_all else 1)


async def _count(
    letters: DeadLetters | None, chosen: Chosen, configuration: Configuration, *, through_flow: bool
) -> None:
    ways: Counter[str] = Counter()
    if letters is not None:
        async for letter in chosen.find(letters, configuration):
            is_straight = letter.stage == "sink" and not through_flow
            ways[f"straight to sink {letter.sink}" if is_straight else f"through flow {letter.flow}"] += 1
    print(f"would replay {ways.total()} dead letter(s)")
    for way, many in ways.most_common():
        print(f"  {many} {way}")


class _Replayed(Struct, frozen=True):
    """What came of it."""

    progress: Progress
    stopped: bool

    @property
    def is_all(self) -> bool:
        """Whether every letter was delivered, or is gone by somebody else's doing."""
        return not (self.stopped or self.progress.waiting or self.progress.again)

    def __str__(self) -> str:
        progress = self.progress
        notes = [
            (progress.again, "failed again"),
            (progress.waiting, "still waiting"),
            (progress.gone, "left where they are" if self.stopped else "gone meanwhile"),
        ]
        return f"replayed {progress.delivered} dead letter(s)" + "".join(
            f", {many} {what}" for many, what in notes if many
        )


class _Replay:
    """One run of the command."""

    def __init__(
        self,
        configuration: Configuration,
        state: StateDir,
        chosen: Chosen,
        rate: float | None,
        patience: float,
        *,
        through_flow: bool,
    ) -> None:
        self._configuration = configuration
        self._state = state
        self._chosen = chosen
        self._rate = rate
        self._through_flow = through_flow
        self._patience = patience + (1 / rate if rate else 0)
        self._letters = DeadLetters(state)
        self._jobs = ReplayJobs(self._letters)
        self._audit = Audit(state, lambda: configuration.version, configuration.secrets.mask)
        self._stop = asyncio.Event()

    async def there(self) -> _Replayed:
        """A daemon runs: ask it, and wait."""
        with self._interruptible():
            job = await self._request()
            await self._watch(job)
            return await self._result(job)

    async def here(self) -> _Replayed:
        """No daemon runs: replay in this process. Raises Refused when a table cannot be loaded."""
        from router.daemon import Daemon

        daemon = Daemon(self._configuration)
        await daemon.tables.load()  # before anything is requested
        with self._interruptible():
            job = await self._request()
            replaying = asyncio.create_task(daemon.replay(self._state, self._stop), name="replay")
            await self._watch(job, replaying)
            if self._stop.is_set():
                await asyncio.wait([replaying], timeout=LAND_SECONDS)
            if not replaying.done():
                replaying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await replaying
            return await self._result(job)

    async def _request(self) -> int:
        job = await self._jobs.begin(self._rate, through_flow=self._through_flow)
        what = {"step": "begun", "job": job, "letters": self._chosen.as_json() or "all", "rate": self._rate}
        if self._through_flow:
            what["through_flow"] = True
        await self._audit.record("replay", os_user(), what, required=True)
        try:
            async for ids in self._chosen.pages(self._letters, self._configuration):
                if self._stop.is_set():
                    break
                await self._jobs.request(job, ids)
        finally:
            await self._jobs.close(job, os_user())
        return job

    async def _watch(self, job: int, replaying: asyncio.Task[None] | None = None) -> None:
        """Until nothing waits any more, nothing has moved for as long as ``--wait`` says, or it is interrupted."""
        stopping = asyncio.create_task(self._stop.wait(), name="interrupt")
        seen, deadline = self._jobs.progress(job), time.monotonic() + self._patience
        with _shown(seen) as show:
            while seen.waiting and not self._stop.is_set() and time.monotonic() < deadline:
                ends = [stopping, *([replaying] if replaying is not None else [])]
                done, _ = await asyncio.wait(ends, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                now = self._jobs.progress(job)
                if now != seen:
                    seen, deadline = now, time.monotonic() + self._patience
                    show(seen)
                if done:
                    break
        stopping.cancel()

    async def _result(self, job: int) -> _Replayed:
        if self._stop.is_set():
            await self._jobs.withdraw(job)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAND_SECONDS):
                    while self._jobs.progress(job).waiting:  # noqa: ASYNC110 - it is another process that tells
                        await asyncio.sleep(POLL_SECONDS)
        await self._jobs.tell_ends(self._audit)
        return _Replayed(self._jobs.progress(job), self._stop.is_set())

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """The first Ctrl-C takes back what is not on its way yet; a second one ends at once."""
        loop = asyncio.get_running_loop()

        def interrupt() -> None:
            loop.remove_signal_handler(signal.SIGINT)
            self._stop.set()

        loop.add_signal_handler(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)


@contextlib.contextmanager
def _shown(progress: Progress) -> Iterator[Callable[[Progress], None]]:
    """What shows how far a replay is, on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Bars(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("", total=progress.requested)

        def show(now: Progress) -> None:
            again = f"{now.again} failed again" if now.again else ""
            bars.update(bar, completed=now.requested - now.waiting, description=again)

        yield show
