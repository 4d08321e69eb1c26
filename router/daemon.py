"""The daemon: everything that a configuration names, built, started, supervised, drained and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from router.admin import AdminServer
from router.assembly import build_sink, build_source, letters_rulesets, policy_of, ruleset_of, tables_of
from router.buffer import BufferedOutlet
from router.config import Configuration, incoming_format
from router.deadletters import DeadLetters
from router.diskbuffer import DiskBuffer
from router.errors import StateError
from router.gatekeeper import Gatekeeper, gatekeepers
from router.intake import Intake
from router.keeper import Keeper
from router.letterbox import LetterBox
from router.metrics import Metrics, version
from router.mover import Mover
from router.moves import Moves
from router.outlet import Outlet
from router.pipeline import Pipeline
from router.reload import Reloaded
from router.replay import Replayer
from router.retention import Retention
from router.settings import Context
from router.state import StateDir
from router.stranded import remove_leftovers, stranded
from router.supervision import supervise
from rules.codecs import Format, Json
from rules.faults import Refused
from rules.flow import Flow
from rules.ruleset import Ruleset
from rules.suggest import did_you_mean

log = logging.getLogger(__name__)

MOVE_SECONDS = 5.0
"""So long a daemon that is stopped goes on to move dead letters; those that are left are moved when it starts again."""

GREETING_SECONDS = 2.0
"""So long a source that is not there yet is waited for until the daemon says that it runs."""


class Daemon:
    """One running configuration. ``run`` is its life; ``status`` and ``metrics`` tell of it."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.metrics = Metrics(configuration.secrets.mask)
        self.tables = tables_of(configuration)
        self.phase = "starting"
        self.admin: AdminServer | None = None
        self.started = time.time()
        self.intakes: dict[str, Intake] = {}
        self.outlets: dict[str, Outlet | BufferedOutlet] = {}
        self.rulesets: dict[tuple[str, Format], Ruleset] = {}
        self._stop = asyncio.Event()
        self._failed = False
        self._direct: dict[str, Outlet] = {}
        self._gates: dict[str, Gatekeeper] = {}
        self._kept: Mapping[str, int] = {}
        self._bytes = 0
        self.letters: LetterBox
        self._store: DeadLetters
        self._state: StateDir
        self._mover: Mover

    @property
    def pipelines(self) -> Mapping[str, Pipeline]:
        """What reads each source."""
        return {name: intake.pipeline for name, intake in self.intakes.items()}

    @property
    def not_ready(self) -> str:
        """Why nothing is taken in; empty when it is. What cannot be kept holds up the flows that it belongs to."""
        return self.phase or self._trouble

    @property
    def _trouble(self) -> str:
        return f"the state folder cannot be written: {self.letters.state.error}" if self.letters.state.error else ""

    def stop(self) -> None:
        """Stop reading, drain, acknowledge, close. ``run`` returns when that is done, or ``drain_timeout`` is over."""
        if not self._stop.is_set():
            log.info("stopping: no more is read; draining for up to %g s", self.configuration.drain_timeout)
        self._stop.set()
        self.phase = "draining"
        for intake in self.intakes.values():
            intake.stop()

    async def pause(self, source: str) -> None:
        """Read no more from a source. What was read goes on being settled, and then the source is closed; ``status()``
        shows it ``pausing`` and then ``paused``. Idempotent; nothing happens to a source that has ended. It stays
        paused across reloads, and not across restarts. Raises LookupError when there is no such source."""
        self._intake(source).pause()

    async def resume(self, source: str) -> None:
        """Read on from a source that was paused. Idempotent. Raises LookupError when there is no such source."""
        self._intake(source).resume()

    def _intake(self, source: str) -> Intake:
        if source not in self.intakes:
            raise LookupError(f"there is no source `{source}`; {did_you_mean(source, self.intakes)}")
        return self.intakes[source]

    async def reload(self, cause: str) -> Reloaded:
        """Read the files again, and go on with what they say now, if all of it is right: from the next batch on.

        ``cause`` says who asked: ``files``, ``SIGHUP``, ``api``. Raises ``Refused`` with every fault, and then nothing
        changes. May be cancelled; it then is taken whole, or not at all. Changed and removed sources and sinks are
        drained after it has returned.
        """
        raise NotImplementedError

    def _fail(self) -> None:
        """A sink never will take anything again: nothing is gained by running on."""
        self._failed = True
        self.stop()

    async def run(self, ready: Callable[[], None] = lambda: None) -> bool:
        """Run until ``stop`` is called, every source has ended, or a sink has. True when everything read was settled,
        and no delivery from a disk buffer was cut off.

        Raises ``StateError`` when the state folder cannot be had, ``SluicewayError`` when the port cannot, ``Refused``
        when a table cannot be loaded, or records wait in the buffer of a sink that is gone. When cancelled, it ends at
        once; what is unsettled is read again at the next start.
        """
        with StateDir.open(self.configuration.state_dir) as state:
            store = self._store = self._open_store(state)
            self.letters = LetterBox(store, self.metrics, self.configuration.secrets.mask)
            if not await self._load_tables():
                return True
            async with contextlib.AsyncExitStack() as exits:
                self._gates = await gatekeepers(self.configuration.flows, state, self.metrics)
                self._build(state, exits)
                await self._start_admin(exits)
                async with asyncio.TaskGroup() as services:
                    running = self._start_services(services, store)
                    drained = await self._run_pipelines(services, ready)
                    await self._move_last(services)
                    for task in running:
                        task.cancel()
            return drained and not self._failed

    async def replay(self, state: StateDir, stop: asyncio.Event) -> None:
        """Replay the dead letters whose replay is requested, and nothing else, until ``stop`` is set: for when no
        daemon runs, and once ``tables`` are loaded. Waits for sinks that are away; when cancelled, what is on its way
        stays requested.
        """
        store = self._open_store(state)
        self.letters = LetterBox(store, self.metrics, self.configuration.secrets.mask)
        outlets = self._build_outlets(state, stop.set)
        gates = await gatekeepers(self.configuration.flows, state, self.metrics)
        replayer = Replayer(store, outlets, self._any_ruleset, gates, letters=self.letters, metrics=self.metrics)
        async with asyncio.TaskGroup() as services:
            running = [services.create_task(outlet.run(), name=f"outlet {name}") for name, outlet in outlets.items()]
            await replayer.drain(stop)
            for task in running:
                task.cancel()

    def _open_store(self, state: StateDir) -> DeadLetters:
        policy = self.configuration.dead_letters
        return DeadLetters(state, Retention(policy.retain, policy.max_bytes, Moves(policy.routes)))

    def _any_ruleset(self, flow: str, source: str) -> Ruleset | None:
        spec = self.configuration.sources.get(source)
        found = next((known for known in self.configuration.flows if known.name == flow), None)
        return None if found is None else self._ruleset(found, Json() if spec is None else spec.decode)

    # Building

    def _build(self, state: StateDir, exits: contextlib.AsyncExitStack) -> None:
        configuration = self.configuration
        self._state = state
        self.metrics.config_info.labels(configuration.version).set(1)
        self.metrics.last_reload_successful.set(1)
        if faults := stranded(configuration):
            raise Refused(faults)
        remove_leftovers(configuration)
        self._direct = self._build_outlets(state, self._fail)
        self.outlets = {name: self._buffered(outlet, state, exits) for name, outlet in self._direct.items()}
        for flow in configuration.flows:
            self.metrics.begin(flow)
            for name, _ in flow.sources:
                self.intakes[name] = Intake(
                    name, self._pipeline, lambda: self.configuration.drain_timeout, self.metrics
                )

    def _pipeline(self, name: str, stop: asyncio.Event) -> Pipeline:
        """What reads a source from now on."""
        spec = self.configuration.sources[name]
        flow = next(flow for flow in self.configuration.flows if name in dict(flow.sources))
        return Pipeline(
            name,
            build_source(spec, self._context("source", name, self._state, spec.decode)),
            self._ruleset(flow, spec.decode),
            self.outlets,
            letters=self.letters,
            metrics=self.metrics,
            stop=stop,
            gates=self._gates.get(flow.name),
        )

    def _build_outlets(self, state: StateDir, ended: Callable[[], None]) -> dict[str, Outlet]:
        outlets = {}
        for name, spec in self.configuration.sinks.items():
            configuration = self.configuration
            outgoing = spec.encode or incoming_format(
                name, configuration.flows, configuration.sources, configuration.dead_letters
            )
            context = replace(self._context("sink", name, state, outgoing), write_timeout=spec.timeout)
            sink = build_sink(spec, context)
            outlets[name] = Outlet(name, sink, policy_of(spec), letters=self.letters, metrics=self.metrics, ended=ended)
        return outlets

    def _buffered(self, outlet: Outlet, state: StateDir, exits: contextlib.AsyncExitStack) -> Outlet | BufferedOutlet:
        """The way to a sink, by way of its disk buffer if it has one."""
        spec = self.configuration.sinks[outlet.name]
        if spec.buffer is None:
            return outlet
        buffer = DiskBuffer.open(state.path, outlet.name)
        exits.callback(buffer.close)
        return BufferedOutlet(outlet, buffer, spec.buffer.bytes, spec.when_full, self.metrics)

    def _context(self, kind: str, name: str, state: StateDir, payloads: Format) -> Context:
        return Context(
            name=name,
            folder=self.configuration.folder,
            positions=state.positions(name if kind == "source" else f"{kind} {name}"),
            format=payloads,
            count=self.metrics.connector(kind, name),
        )

    def _ruleset(self, flow: Flow, decode: Format) -> Ruleset:
        key = (flow.name, decode)
        if key not in self.rulesets:
            self.rulesets[key] = ruleset_of(self.configuration, flow, decode, self.tables)
        return self.rulesets[key]

    # Running

    async def _load_tables(self) -> bool:
        """Load every table; False when the daemon is stopped meanwhile."""
        stopping = asyncio.create_task(self._stop.wait(), name="stop signal")
        loading = asyncio.create_task(self.tables.load(self.metrics), name="tables")
        await asyncio.wait([loading, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not loading.done():
            loading.cancel()
            return False
        loading.result()
        return True

    async def _start_admin(self, exits: contextlib.AsyncExitStack) -> None:
        http = self.configuration.http
        if http is None:
            return
        self.admin = AdminServer(self, http, self.configuration.folder)
        await self.admin.start()
        exits.push_async_callback(self.admin.stop)

    def _start_services(self, services: asyncio.TaskGroup, store: DeadLetters) -> list[asyncio.Task[None]]:
        # Past the buffers: a letter stays in its own store until it is delivered.
        replayer = Replayer(
            store, self._direct, self._running_ruleset, self._gates, letters=self.letters, metrics=self.metrics
        )
        running = [
            services.create_task(supervise(f"outlet {name}", outlet.run), name=f"outlet {name}")
            for name, outlet in self.outlets.items()
        ]
        keeper = Keeper(store, self.metrics)
        self._mover = self._build_mover(store)
        for name, run in (("replayer", replayer.run), ("keeper", keeper.run), ("mover", self._mover.run)):
            running.append(services.create_task(supervise(name, run), name=name))
        for name, refresh in self.tables.refreshing().items():
            running.append(services.create_task(supervise(f"table {name}", refresh), name=f"table {name}"))
        if self.admin is not None:
            running.append(services.create_task(supervise("admin pages", self.admin.run), name="admin pages"))
        return running

    async def _move_last(self, services: asyncio.TaskGroup) -> None:
        """Move the last dead letters, or, once stopped, for ``MOVE_SECONDS`` at most."""
        stopping = services.create_task(self._stop.wait(), name="stop signal")
        finished = services.create_task(self._mover.finish(), name="last dead letters")
        await asyncio.wait([finished, stopping], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([finished], timeout=MOVE_SECONDS)
        for task in (stopping, finished):
            task.cancel()

    def _build_mover(self, store: DeadLetters) -> Mover:
        moves = Moves(self.configuration.dead_letters.routes)
        rulesets = letters_rulesets(self.configuration, self.tables)
        return Mover(store, moves, self._direct, rulesets, metrics=self.metrics)

    async def _run_pipelines(self, services: asyncio.TaskGroup, ready: Callable[[], None]) -> bool:
        """Run the pipelines to their end, or, once stopped, for ``drain_timeout`` at most."""
        tasks = [services.create_task(intake.run(), name=f"source {name}") for name, intake in self.intakes.items()]
        stopping = services.create_task(self._stop.wait(), name="stop signal")
        self.phase = self.phase if self._stop.is_set() else ""
        greeting = services.create_task(self._greet(ready), name="greeting")
        ended = services.create_task(_all(tasks), name="end of all sources")
        emptied = services.create_task(self._empty_buffers(ended), name="end of all buffers")
        await asyncio.wait([emptied, stopping], return_when=asyncio.FIRST_COMPLETED)
        finished = services.create_task(self._finish(ended), name="last deliveries")
        await asyncio.wait([finished], timeout=self.configuration.drain_timeout)
        self.phase = "stopped"
        drained = finished.done()
        if not drained:
            log.error("not everything was drained in %g s; ending all the same", self.configuration.drain_timeout)
        for task in (*tasks, greeting, ended, emptied, finished, stopping):
            task.cancel()
        await _all(tasks)
        return drained

    async def _greet(self, ready: Callable[[], None]) -> None:
        """Say that it runs once every source has been opened, or tried to; one that takes long is not waited for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GREETING_SECONDS):
                for pipeline in self.pipelines.values():
                    await pipeline.tried.wait()
        ready()

    async def _empty_buffers(self, ended: asyncio.Task[None]) -> None:
        """When no more comes: return when nothing waits in a buffer, either."""
        await asyncio.wait([ended])
        for outlet in self._buffers():
            await outlet.drain()

    async def _finish(self, ended: asyncio.Task[None]) -> None:
        """What was read is settled, and no delivery from a buffer is under way; what waits there goes on waiting."""
        for outlet in self._buffers():
            outlet.halt()
        for outlet in self._buffers():
            await outlet.finish()
        await asyncio.wait([ended])

    def _buffers(self) -> list[BufferedOutlet]:
        return [outlet for outlet in self.outlets.values() if isinstance(outlet, BufferedOutlet)]

    def refresh(self) -> None:
        """Read anew how many dead letters there are: the command line may have purged some."""
        self.metrics.state_writable.set(0 if self._trouble else 1)
        try:
            kept, (pages, free, size) = self._store.counts(), self._store.pages()
        except StateError as error:
            log.warning("the dead letters cannot be counted: %s", error)
            return
        self._kept, self._bytes = kept, (pages - free) * size
        self.metrics.dead_letters_bytes.set(self._bytes)
        for flow in {*kept, *(flow.name for flow in self.configuration.flows)}:
            self.metrics.dead_letters_kept.labels(flow).set(kept.get(flow, 0))

    def _running_ruleset(self, flow: str, source: str) -> Ruleset | None:
        """The ruleset of a flow for a source, or for any of its sources when that one is gone."""
        pipeline = self.pipelines.get(source)
        if pipeline is not None and pipeline.ruleset.name == flow:
            return pipeline.ruleset
        rulesets = (pipeline.ruleset for pipeline in self.pipelines.values())
        return next((ruleset for ruleset in rulesets if ruleset.name == flow), None)

    # Telling

    def masked(self, text: str) -> str:
        """The text without what the configuration took from the environment and from files."""
        return self.configuration.secrets.mask(text)

    def status(self) -> dict[str, object]:
        """Every component's connection and figures, as JSON values."""
        configuration = self.configuration
        return {
            "version": version(),
            "config": {"version": configuration.version, "files": [str(path) for path in configuration.files]},
            "started": self.started,
            "ready": not self.not_ready,
            "state": self.phase or "running",
            "sources": {
                name: {"type": configuration.sources[name].type, **intake.status()}
                for name, intake in self.intakes.items()
            },
            "sinks": {
                name: {"type": configuration.sinks[name].type, **outlet.status()}
                for name, outlet in self.outlets.items()
            },
            "flows": {
                flow.name: {
                    "version": flow.version,
                    "sources": [name for name, _ in flow.sources],
                    "rules": len(flow.rules),
                }
                for flow in configuration.flows
            },
            "tables": self.tables.status(),
            "dead_letters": {"kept": dict(self._kept), "bytes": self._bytes, "error": self.letters.state.error or None},
        }


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(tasks)
