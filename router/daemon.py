"""The daemon: everything that a configuration names, built, started, supervised, reloaded, drained and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from router import abandoned
from router.admin import AdminServer
from router.aside import aside
from router.assembly import Assembly, Workshop, has_same_letters, tables_of
from router.audit import Audit, os_user
from router.audit_details import APPLIED, begun, ended, refused, rewritten, taken
from router.buffer import BufferedOutlet
from router.changes import FlowChange, flow_changes
from router.config import Configuration, Inputs, load
from router.deadletters import DeadLetters
from router.errors import SluicewayError, StateError
from router.fleet import Fleet, Prepared
from router.gatekeeper import gatekeepers
from router.history import History
from router.intake import Intake
from router.keeper import Keeper
from router.letterbox import LetterBox
from router.metrics import Metrics, version
from router.mover import Mover
from router.moves import Moves
from router.outlet import Outlet
from router.pipeline import Pipeline
from router.redaction import Redaction
from router.reload import LastReload, Reloaded, compare, needs_restart
from router.replay import Replayer
from router.retention import Retention
from router.sampling import Samples
from router.state import StateDir
from router.stranded import remove_leftovers, stranded
from router.supervision import supervise
from router.tables import Tables
from router.watching import watch
from rules.faults import Fault, Place, Refused
from rules.ruleset import Ruleset
from rules.suggest import did_you_mean

log = logging.getLogger(__name__)

MOVE_SECONDS = 5.0
"""So long a daemon that is stopped goes on to move dead letters; those that are left are moved when it starts again."""

GREETING_SECONDS = 2.0
"""So long a source that is not there yet is waited for until the daemon says that it runs."""


class Daemon:
    """A running configuration. ``run`` is its life; ``status`` and ``metrics`` tell of it; ``reload`` changes it.

    ``inputs`` are the files that the configuration was read from: it is reloaded when they change. Without them, only
    when asked to.
    """

    def __init__(self, configuration: Configuration, inputs: Inputs | None = None) -> None:
        self.assembly = Assembly(configuration, tables_of(configuration))
        self.metrics = Metrics(self.masked)
        self.phase = "starting"
        self.admin: AdminServer | None = None
        self.started = time.time()
        self.last_reload: LastReload | None = None
        self.changes: dict[str, FlowChange] = {}
        self._last_taken: LastReload | None = None
        self.samples = Samples()
        self.history = History(self.metrics, lambda: self.configuration, self.status)
        self.letters: LetterBox
        self.store: DeadLetters
        self._secrets = configuration.secrets
        self._redaction = Redaction(configuration)
        self._inputs = inputs or Inputs()
        self._is_watching = inputs is not None
        self._fleet: Fleet | None = None
        self._stop = asyncio.Event()
        self._failed = False
        self._reloading = asyncio.Lock()
        self._requests: asyncio.Queue[tuple[str, Callable[[], None]]] = asyncio.Queue()
        self._kept: Mapping[str, int] = {}
        self._bytes = 0
        self.audit: Audit
        self._services: asyncio.TaskGroup
        self._running: dict[str, asyncio.Task[None]] = {}
        self._refreshing: Mapping[str, Callable[[], Awaitable[None]]] = {}
        self._mover: Mover

    # What there is

    @property
    def configuration(self) -> Configuration:
        """What runs; another one after a reload."""
        return self.assembly.configuration

    @property
    def tables(self) -> Tables:
        """What expressions look into."""
        return self.assembly.tables

    @property
    def intakes(self) -> Mapping[str, Intake]:
        """The sources, by name."""
        return {} if self._fleet is None else self._fleet.intakes

    @property
    def pipelines(self) -> Mapping[str, Pipeline]:
        """What reads each source."""
        return {name: intake.pipeline for name, intake in self.intakes.items()}

    @property
    def outlets(self) -> Mapping[str, Outlet | BufferedOutlet]:
        """The way to each sink."""
        exits = {} if self._fleet is None else self._fleet.exits
        return {name: known.buffer or known.outlet for name, known in exits.items()}

    @property
    def not_ready(self) -> str:
        """Why nothing is taken in; empty when it is. What cannot be kept holds up the flows that it belongs to."""
        return self.phase or self._trouble

    @property
    def _trouble(self) -> str:
        # Where the folder is, is told to those alone who may read the status or the log.
        error = self.letters.state.error.replace(f"{self.configuration.state_dir}/", "")
        return f"the state folder cannot be written: {error}" if error else ""

    # What others ask for

    def stop(self) -> None:
        """Stop reading, drain, acknowledge, close. ``run`` returns when that is done, or ``drain_timeout`` is over."""
        if not self._stop.is_set():
            log.info("stopping: no more is read; draining for up to %g s", self.configuration.drain_timeout)
        self._stop.set()
        self.phase = "draining"
        self._end_service("changes of files")
        if self._fleet is not None:
            self._fleet.stop()

    def _fail(self) -> None:
        """A sink never will take anything again: nothing is gained by running on."""
        self._failed = True
        self.stop()

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

    # Running

    async def run(self, ready: Callable[[], None] = lambda: None) -> bool:
        """Run until ``stop`` is called, every source has ended, or a sink has. True when everything read was settled,
        and no delivery from a disk buffer was cut off.

        Raises ``StateError`` when the state folder cannot be had, ``SluicewayError`` when the port cannot, ``Refused``
        when a table cannot be loaded, or records wait in the buffer of a sink that is gone. When cancelled, it ends at
        once; what is unsettled is read again at the next start.
        """
        with StateDir.open(self.configuration.state_dir) as state:
            self.store = DeadLetters(state, _retention(self.configuration))
            self.letters = LetterBox(self.store, self.metrics, self.masked, lambda: self._shown().said)
            self.audit = Audit(state, lambda: self.configuration.version, self.masked, self.metrics)
            if not await self._load_tables():
                return True
            async with contextlib.AsyncExitStack() as exits:
                abandoned.go_on(state, self.metrics, self.configuration.sources)
                exits.push_async_callback(abandoned.keep, state, self.metrics)
                fleet, prepared = await self._prepare_first(state, exits)
                await self._start_admin(exits)
                await self.audit.record("start", os_user(), begun(self.configuration))
                async with asyncio.TaskGroup() as self._services:
                    fleet.begin(prepared, self._services)
                    self._tell_configuration(None)
                    self._start_services(fleet)
                    drained = await self._run_fleet(fleet, ready)
                    await self._move_last()
                    for task in self._running.values():
                        task.cancel()
                    fleet.cancel()
                how = ended(asked=self._stop.is_set(), failed=self._failed, drained=drained)
                await self.audit.record("stop", "the daemon", how)
            return drained and not self._failed

    async def replay(self, state: StateDir, stop: asyncio.Event) -> None:
        """Replay the dead letters whose replay is requested, and nothing else, until ``stop`` is set: for when no
        daemon runs, and once ``tables`` are loaded. Waits for sinks that are away; when cancelled, what is on its way
        stays requested.
        """
        configuration = self.configuration
        store = DeadLetters(state, _retention(configuration))
        letters = LetterBox(store, self.metrics, self.masked, lambda: self._shown().said)
        workshop = Workshop(state, letters, self.metrics, stop.set)
        sinks = configuration.sinks
        outlets = {name: workshop.outlet(spec, workshop.sink(configuration, name)) for name, spec in sinks.items()}
        gates = await gatekeepers(configuration.flows, state, self.metrics)
        audit = Audit(state, lambda: configuration.version, self.masked, self.metrics)
        replayer = Replayer(
            store, outlets, self.running_ruleset, gates, letters=letters, metrics=self.metrics, audit=audit
        )
        async with asyncio.TaskGroup() as services:
            running = [services.create_task(outlet.run(), name=f"outlet {name}") for name, outlet in outlets.items()]
            await replayer.drain(stop)
            for task in running:
                task.cancel()

    def running_ruleset(self, flow: str, source: str) -> Ruleset | None:
        """The ruleset of a flow for a source, or for any of its sources when that one is gone."""
        return self.assembly.ruleset(flow, source)

    async def _load_tables(self) -> bool:
        """Load every table; False when the daemon is stopped meanwhile."""
        stopping = asyncio.create_task(self._stop.wait(), name="stop signal")
        loading = asyncio.create_task(self.tables.load(), name="tables")
        await asyncio.wait([loading, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not loading.done():
            loading.cancel()
            return False
        loading.result()
        return True

    async def _prepare_first(self, state: StateDir, exits: contextlib.AsyncExitStack) -> tuple[Fleet, Prepared]:
        if faults := stranded(self.configuration):
            raise Refused(faults)
        remove_leftovers(self.configuration)
        self.assembly.compile()
        self._mover = self._made_mover({})
        fleet = Fleet(self.assembly, Workshop(state, self.letters, self.metrics, self._fail, self.samples))
        prepared = await fleet.prepare(self.assembly)
        self._mover = self._made_mover(fleet.outlets)
        exits.callback(prepared.close)
        exits.callback(fleet.close)
        self._fleet = fleet
        return fleet, prepared

    def _made_mover(self, outlets: Mapping[str, Outlet]) -> Mover:
        moves = Moves(self.configuration.dead_letters.routes)
        rulesets = self.assembly.letters_rulesets()
        return Mover(
            self.store, moves, outlets, rulesets, metrics=self.metrics, detail=lambda it: self._shown().detail(it)
        )

    async def _start_admin(self, exits: contextlib.AsyncExitStack) -> None:
        http = self.configuration.http
        if http is None:
            return
        self.admin = AdminServer(self, http, self.configuration.folder)
        await self.admin.start()
        exits.push_async_callback(self.admin.stop)

    def _start_services(self, fleet: Fleet) -> None:
        # Past the buffers: a letter stays in its own store until it is delivered.
        replayer = Replayer(
            self.store,
            fleet.outlets,
            self.running_ruleset,
            fleet.gates,
            letters=self.letters,
            metrics=self.metrics,
            audit=self.audit,
        )
        self._serve("replayer", replayer.run)
        self._serve("keeper", Keeper(self.store, self.metrics).run)
        self._serve("mover", self._mover.run)
        self._serve("reloads", self._serve_requests)
        if self._is_watching:
            self._serve("changes of files", self._watch)
        if self.admin is not None:
            self._serve("history", self.history.run)
            self._serve("admin pages", self.admin.run)

    def _serve(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Have a service run, instead of the one of that name."""
        self._end_service(name)
        self._running[name] = self._services.create_task(supervise(name, run), name=name)

    def _end_service(self, name: str) -> None:
        if name in self._running:
            self._running.pop(name).cancel()

    async def _run_fleet(self, fleet: Fleet, ready: Callable[[], None]) -> bool:
        """Run to the end of every source, or, once stopped, for ``drain_timeout`` at most."""
        create = self._services.create_task
        stopping = create(self._stop.wait(), name="stop signal")
        self.phase = self.phase if self._stop.is_set() else ""
        if self._stop.is_set():
            fleet.stop()
        greeting = create(self._greet(ready), name="greeting")
        emptied = create(self._empty_buffers(fleet), name="end of all buffers")
        await asyncio.wait([emptied, stopping], return_when=asyncio.FIRST_COMPLETED)
        finished = create(self._finish(fleet), name="last deliveries")
        await asyncio.wait([finished], timeout=self.configuration.drain_timeout)
        self.phase = "stopped"
        drained = finished.done()
        if not drained:
            log.error("not everything was drained in %g s; ending all the same", self.configuration.drain_timeout)
        for task in (greeting, emptied, finished, stopping):
            task.cancel()
        await fleet.cancel_reading()
        return drained

    async def _greet(self, ready: Callable[[], None]) -> None:
        """Say that it runs once every source has been opened, or tried to; one that takes long is not waited for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GREETING_SECONDS):
                for pipeline in self.pipelines.values():
                    await pipeline.tried.wait()
        ready()

    async def _empty_buffers(self, fleet: Fleet) -> None:
        """When no more comes: return when nothing waits in a buffer, either."""
        await fleet.end()
        for buffer in fleet.buffers:
            await buffer.drain()

    async def _finish(self, fleet: Fleet) -> None:
        """What was read is settled, and no delivery from a buffer is under way; what waits there goes on waiting."""
        for buffer in fleet.buffers:
            buffer.halt()
        for buffer in fleet.buffers:
            await buffer.finish()
        await fleet.end()

    async def _move_last(self) -> None:
        """Move the last dead letters, or, once stopped, for ``MOVE_SECONDS`` at most."""
        stopping = self._services.create_task(self._stop.wait(), name="stop signal")
        finished = self._services.create_task(self._mover.finish(), name="last dead letters")
        await asyncio.wait([finished, stopping], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([finished], timeout=MOVE_SECONDS)
        for task in (stopping, finished):
            task.cancel()

    # Reloading

    def request_reload(self, cause: str, ended: Callable[[], None] = lambda: None) -> None:
        """Reload as soon as no other reload is under way, and call ``ended`` then; how it ended is told by the log,
        metrics and ``status()``."""
        self._requests.put_nowait((cause, ended))

    async def reload(self, cause: str, actor: str = "the daemon") -> Reloaded:
        """Read the files again, and go on with what they say now, if all of it is right: from the next batch on.

        ``cause`` says why: ``files``, ``SIGHUP``, ``api``; ``actor`` who asked, for the audit. Raises ``Refused`` with
        every fault, and then nothing changes; SluicewayError while the daemon starts or stops. May be cancelled; it
        then is taken whole, or not at all. Sources and sinks that are changed or removed are drained after it has
        returned.
        """
        async with self._reloading:
            gc.collect()  # a few ms for what the last reload left: that of a hundred at once would hold up the loop
            old = self.configuration
            try:
                reloaded, edited = await self._reload(cause)
            except Refused as error:
                await self._tell_refusal(cause, actor, error)
                raise
            except Exception as error:
                if isinstance(error, SluicewayError) and not isinstance(error, StateError):
                    raise
                log.error("a reload (%s) has failed: %s", cause, error, exc_info=error)
                what = f"cannot be taken: {type(error).__name__}: {error}"
                unforeseen = Refused([Fault(Place(str(self.configuration.files[0])), self.masked(what))])
                await self._tell_refusal(cause, actor, unforeseen)
                raise unforeseen from error
        self.metrics.reloads.labels("taken").inc()
        self.metrics.last_reload_successful.set(1)
        self.last_reload = LastReload(cause)
        if reloaded.is_same:
            reloaded = replace(reloaded, taken=self._last_taken)
        else:
            self._last_taken = self.last_reload
        log.info("configuration %s runs instead of %s (%s): %s", reloaded.version, reloaded.previous, cause, reloaded)
        await self.audit.record("reload", actor, taken(old, self.configuration, reloaded, edited))
        return reloaded

    async def _reload(self, cause: str) -> tuple[Reloaded, list[dict[str, Any]]]:
        """Take what the files say; what that changed, and what was changed in the files."""
        fleet, old = self._running_fleet(), self.assembly
        new = await self._assembled(old)
        texts = old.configuration.texts, new.configuration.texts
        edited = [] if cause == APPLIED else await aside(rewritten, *texts)
        prepared = await fleet.prepare(new)
        try:
            self._running_fleet()
        except SluicewayError:
            fleet.discard(prepared)
            raise
        fleet.commit(prepared)
        self.assembly = new
        self._tell_configuration(old)
        self.changes |= flow_changes(old.configuration, new.configuration)
        self.changes = {
            flow.name: self.changes[flow.name] for flow in new.configuration.flows if flow.name in self.changes
        }
        return compare(old, new, cause), edited

    def _running_fleet(self) -> Fleet:
        if self.phase or self._fleet is None:
            raise SluicewayError(f"nothing is reloaded now: the daemon is {self.phase}")
        return self._fleet

    async def _assembled(self, old: Assembly) -> Assembly:
        """What the files say now, checked whole. Raises Refused."""
        self._inputs = inputs = Inputs()  # of one that is refused, too: when they change, it may be right
        configuration = await aside(load, self.configuration.files, None, inputs)
        if faults := needs_restart(old.configuration, configuration):
            raise Refused(faults, configuration.warnings)
        new = Assembly(configuration, tables_of(configuration, old.tables))
        await new.tables.load()
        await aside(new.compile, old)
        return new

    async def _tell_refusal(self, cause: str, actor: str, why: Refused) -> None:
        self.metrics.reloads.labels("refused").inc()
        self.metrics.last_reload_successful.set(0)
        self.last_reload = LastReload(cause, tuple(why.faults))
        version = self.configuration.version
        log.error("a new configuration is refused (%s), and %s runs on: %d fault(s)", cause, version, len(why.faults))
        for fault in why.faults:
            log.error("%s", fault)
        await self.audit.record("reload_refused", actor, refused(cause, why.faults))

    def _tell_configuration(self, old: Assembly | None) -> None:
        """Another configuration runs than before: what depends on it is that of the new one from now on."""
        new = self.assembly
        self._secrets = self._secrets.joined(new.configuration.secrets)
        self.store.retain(_retention(new.configuration))
        self.samples.retain([flow.name for flow in new.configuration.flows])
        new.tables.begin(self.metrics)
        self._renew_tables()
        if old is not None and self._fleet is not None and not has_same_letters(old, new):
            self._mover = self._made_mover(self._fleet.outlets)
            self._serve("mover", self._mover.run)
        self._tell_metrics(old)

    def _renew_tables(self) -> None:
        refreshing = self.tables.refreshing()
        for name in self._refreshing.keys() | refreshing.keys():
            if refreshing.get(name) != self._refreshing.get(name):
                self._end_service(f"table {name}")
                if name in refreshing:
                    self._serve(f"table {name}", refreshing[name])
        self._refreshing = refreshing

    def _tell_metrics(self, old: Assembly | None) -> None:
        metrics, configuration = self.metrics, self.configuration
        if old is None:
            metrics.last_reload_successful.set(1)
        else:
            metrics.config_info.clear()
            for table in old.configuration.tables.keys() - configuration.tables.keys():
                metrics.forget("table", table)
        metrics.config_info.labels(configuration.version).set(1)
        for flow in configuration.flows:
            before = None if old is None else old.flow(flow.name)
            if before is None or before.version != flow.version:
                metrics.begin(flow, before)

    async def _serve_requests(self) -> None:
        while True:
            cause, ended = await self._requests.get()
            try:
                await self._try_reload(cause)
            finally:
                ended()

    async def _watch(self) -> None:
        await watch(lambda: self._inputs, lambda: self._try_reload("files"))

    async def _try_reload(self, cause: str) -> None:
        try:
            await self.reload(cause)
        except Refused:
            pass  # which is told by now
        except SluicewayError as error:
            log.warning("%s", error)

    # Telling

    def refresh(self) -> None:
        """Read anew how many dead letters there are: the command line may have purged some."""
        self.metrics.state_writable.set(0 if self._trouble else 1)
        try:
            kept, (pages, free, size) = self.store.counts(), self.store.pages()
        except StateError as error:
            log.warning("the dead letters cannot be counted: %s", error)
            return
        self._kept, self._bytes = kept, (pages - free) * size
        self.metrics.dead_letters_bytes.set(self._bytes)
        for flow in {*kept, *(flow.name for flow in self.configuration.flows)}:
            self.metrics.dead_letters_kept.labels(flow).set(kept.get(flow, 0))

    def masked(self, text: str) -> str:
        """The text without what any configuration so far took from the environment and from files."""
        return self._secrets.mask(text)

    def _shown(self) -> Redaction:
        """What takes out of what sinks say what the contracts that run now mark as sensitive."""
        if not self._redaction.is_of(self.configuration):
            self._redaction = Redaction(self.configuration)
        return self._redaction

    def status(self) -> dict[str, object]:
        """Every component's connection and figures, as JSON values."""
        configuration = self.configuration
        return {
            "version": version(),
            "config": {
                "version": configuration.version,
                "files": [str(path) for path in configuration.files],
                "last_reload": None if self.last_reload is None else self.last_reload.as_json(),
            },
            "started": self.started,
            "ready": not self.not_ready,
            "state": self.phase or "running",
            **({"sources": {}, "sinks": {}} if self._fleet is None else self._fleet.status()),
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


def _retention(configuration: Configuration) -> Retention:
    policy = configuration.dead_letters
    return Retention(policy.retain, policy.max_bytes, Moves(policy.routes))
