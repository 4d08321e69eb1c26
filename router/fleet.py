"""Everything of a configuration that runs: the intakes of its sources, the exits to its sinks, the gates between them.

A configuration is first *prepared* beside the one that runs, which may fail and takes as long as it takes. Then it is
*committed* at once, between two turns of the loop, which cannot fail: from then on every batch that is read goes by the
new rulesets to the new sinks. What is taken away ends by itself, once nothing is on its way there any more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from msgspec import Struct, field

from router.assembly import Assembly, Workshop, is_sink_changed, is_source_changed
from router.buffer import BufferedOutlet
from router.config import Configuration
from router.diskbuffer import DiskBuffer, delete, file_of
from router.exit import Exit, Surroundings, until_true
from router.gatekeeper import Gatekeeper, gatekeepers
from router.intake import Intake
from router.interfaces import Sink
from router.load import Way
from router.outlet import Outlet
from router.pipeline import Pipeline
from rules.faults import Fault, Place, Refused
from rules.ruleset import Ruleset

T = TypeVar("T")


class Prepared(Struct):
    """A configuration that is ready to run: of what is new, the sinks, not yet open, the disk buffers and the gates."""

    assembly: Assembly
    gates: dict[str, Gatekeeper] = field(default_factory=dict)
    sinks: dict[str, Sink] = field(default_factory=dict)
    files: dict[str, DiskBuffer] = field(default_factory=dict)
    made: list[Path] = field(default_factory=list)
    """The files of those disk buffers that were not there before."""

    def close(self) -> None:
        """Let go of the disk buffers. Idempotent."""
        for file in self.files.values():
            file.close()

    def remove(self) -> None:
        """The same, and delete the disk buffers that were made for it: nothing is in them yet."""
        self.close()
        with contextlib.suppress(OSError):  # what stays is deleted at the next start
            for path in self.made:
                delete(path)


class Fleet:
    """What runs of a configuration, by name. ``outlets`` are the ways to its sinks past their disk buffers."""

    def __init__(self, assembly: Assembly, workshop: Workshop) -> None:
        self.assembly = assembly
        self.intakes: dict[str, Intake] = {}
        self.exits: dict[str, Exit] = {}
        self.outlets: dict[str, Outlet] = {}
        self.gates: dict[str, Gatekeeper] = {}
        self._workshop = workshop
        self._ways: Mapping[str, Way] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._leaving: dict[str, Exit] = {}
        self._retirements: dict[str, asyncio.Task[None]] = {}
        self._around: Surroundings

    @property
    def buffers(self) -> list[BufferedOutlet]:
        """The disk buffers there are, those included that are being emptied to be taken away."""
        exits = (*self.exits.values(), *self._leaving.values())
        return [leaving.buffer for leaving in exits if leaving.buffer is not None]

    def status(self) -> dict[str, object]:
        """Every source and every sink with its figures, those included that are being taken away."""
        exits = {**self._leaving, **self.exits}
        return {
            "sources": {name: intake.status() for name, intake in self.intakes.items()},
            "sinks": {name: leaving.status() for name, leaving in exits.items()},
        }

    # Beside what runs

    async def prepare(self, assembly: Assembly) -> Prepared:
        """Make what a configuration has and the running one has not. Raises Refused, and StateError; may be cancelled.
        What is prepared is to be committed, or discarded."""
        prepared = Prepared(assembly)
        try:
            await self._spare(assembly.configuration)
            workshop, flows = self._workshop, assembly.configuration.flows
            prepared.gates = await gatekeepers(flows, workshop.state, workshop.metrics, self.gates)
            self._make_connectors(prepared)
            self._open_buffers(prepared)
            if faults := self._obstacles(assembly.configuration):
                raise Refused(faults, assembly.configuration.warnings)
        except BaseException:
            self.discard(prepared)
            raise
        return prepared

    def discard(self, prepared: Prepared) -> None:
        """Let go of what was prepared: it is not to run, and nothing remains of it."""
        prepared.remove()
        for name, leaving in self._leaving.items():
            if self._retirements[name].cancelled():
                self._retire(leaving)

    async def _spare(self, configuration: Configuration) -> None:
        """Sinks that were taken away and are there again: they stay, or are waited for if they are being closed."""
        for name in self._leaving.keys() & configuration.sinks.keys():
            if not self._leaving[name].is_closing:
                self._retirements[name].cancel()
            await asyncio.wait([self._retirements[name]])

    def _make_connectors(self, prepared: Prepared) -> None:
        old, new = self.assembly.configuration, prepared.assembly.configuration
        faults = []
        for name, spec in new.sinks.items():
            if name not in self.exits or is_sink_changed(old, new, name):
                try:
                    prepared.sinks[name] = self._workshop.sink(new, name)
                except Exception as error:  # noqa: BLE001 - a connector may raise anything
                    faults.append(Fault(spec.place, f"sink `{name}` cannot be made: {type(error).__name__}: {error}"))
        for name in prepared.assembly.read:
            if name in self.intakes and name in old.sources and not is_source_changed(old, new, name):
                continue
            try:
                self._workshop.source(new, name)  # it is made when it is its turn; by now it is known that it can be
            except Exception as error:  # noqa: BLE001 - a connector may raise anything
                place = new.sources[name].place
                faults.append(Fault(place, f"source `{name}` cannot be made: {type(error).__name__}: {error}"))
        if faults:
            raise Refused(faults, new.warnings)

    def _open_buffers(self, prepared: Prepared) -> None:
        for name, spec in prepared.assembly.configuration.sinks.items():
            known = self.exits.get(name) or self._leaving.get(name)
            if spec.buffer is not None and (known is None or known.buffer is None):
                path = file_of(self._workshop.state.path, name)
                prepared.made += [] if path.exists() else [path]
                prepared.files[name] = DiskBuffer.open(self._workshop.state.path, name)

    def _obstacles(self, new: Configuration) -> list[Fault]:
        """Why disk buffers cannot be what the configuration says right now."""
        faults = []
        for name, known in {**self._leaving, **self.exits}.items():
            spec = new.sinks.get(name)
            has_buffer = spec is not None and spec.buffer is not None
            place = Place(str(new.files[0])) if spec is None else spec.place
            if known.buffer is None:
                continue
            if has_buffer and known.is_losing_buffer:
                what = f"the disk buffer of `{name}`, which was taken away, is not empty yet"
                faults.append(Fault(place, what, "should come back once it is"))
            elif not has_buffer and name in self.exits and not known.is_losing_buffer and known.buffer.lags:
                gone = "is not among `sinks`" if spec is None else "has no `buffer`"
                what = f"{known.buffer.records} record(s) wait in the disk buffer of `{name}`, which {gone} any more"
                faults.append(Fault(place, what, "should have its `buffer` until they are delivered"))
        return faults

    # At once

    def begin(self, prepared: Prepared, tasks: asyncio.TaskGroup) -> None:
        """Run the first configuration, in these tasks."""
        self._around = Surroundings(
            tasks, self._workshop.metrics, self._is_used, self._comes_again, lambda: self._configuration.drain_timeout
        )
        self.commit(prepared)

    def commit(self, prepared: Prepared) -> None:
        """Run this instead. Raises Refused, and changes nothing, when records have come to wait meanwhile in a disk
        buffer that is to go."""
        new = prepared.assembly.configuration
        if faults := self._obstacles(new):
            self.discard(prepared)
            raise Refused(faults, new.warnings)
        old, self.assembly = self._configuration, prepared.assembly
        self._change_exits(prepared)
        self._refill(self.gates, prepared.gates)
        self._refill(self.outlets, {name: known.outlet for name, known in self.exits.items()})
        self._ways = {name: known.way for name, known in self.exits.items()}
        self._change_intakes(old)
        for flow in old.flows:
            if self.assembly.flow(flow.name) is None:
                self._around.tasks.create_task(self._forget_flow(flow.name), name=f"end of flow {flow.name}")

    @property
    def _configuration(self) -> Configuration:
        return self.assembly.configuration

    def _refill(self, known: dict[str, T], new: Mapping[str, T]) -> None:
        """Others hold the mapping itself."""
        known.clear()
        known.update(new)

    def _change_exits(self, prepared: Prepared) -> None:
        before = {**self._leaving, **self.exits}
        self._leaving = {}
        self.exits = {}
        for name, spec in self._configuration.sinks.items():
            sink, file = prepared.sinks.get(name), prepared.files.get(name)
            known = before.pop(name, None)
            if known is None and sink is not None:
                known = Exit(spec, self._workshop.outlet(spec, sink), file, self._around)
            elif known is not None:
                known.revive()
                known.change(spec, sink, file)
            if known is not None:
                self.exits[name] = known
        for name, leaving in before.items():
            self._leaving[name] = leaving
            if name not in self._retirements or self._retirements[name].done():
                self._retire(leaving)

    def _retire(self, leaving: Exit) -> None:
        retirement = self._around.tasks.create_task(leaving.retire(), name=f"end of sink {leaving.name}")
        self._retirements[leaving.name] = retirement

        def ended(_: object) -> None:
            if not retirement.cancelled() and self._leaving.get(leaving.name) is leaving:
                del self._leaving[leaving.name]

        retirement.add_done_callback(ended)

    def _change_intakes(self, old: Configuration) -> None:
        new, read = self._configuration, self.assembly.read
        for name in read:
            known = self.intakes.get(name)
            is_changed = name not in old.sources or is_source_changed(old, new, name)
            if known is None or (self._reading[name].done() and (is_changed or known.is_leaving)):
                self._add_intake(name)
            elif is_changed or known.is_leaving:
                known.type = new.sources[name].type
                known.exchange()
            else:
                flow, ruleset = self._way_of(name)
                known.pipeline.reroute(ruleset, self._ways, self.gates.get(flow))
        for name in self.intakes.keys() - read.keys():
            self.intakes[name].leave()
            if self._reading[name].done():
                self._forget(self.intakes[name])

    def _add_intake(self, name: str) -> None:
        metrics, grace = self._workshop.metrics, self._around.grace
        intake = self.intakes[name] = Intake(
            name, self._configuration.sources[name].type, self._pipeline, grace, metrics
        )
        reading = self._reading[name] = self._around.tasks.create_task(intake.run(), name=f"source {name}")

        def ended(_: object) -> None:
            if intake.is_leaving and self.intakes.get(name) is intake:
                self._forget(intake)

        reading.add_done_callback(ended)

    async def _forget_flow(self, name: str) -> None:
        """Show no more of a flow once the last batch has gone through it."""
        await until_true(lambda: not any(intake.goes_through(name) for intake in self.intakes.values()))
        if self.assembly.flow(name) is None:
            self._workshop.metrics.forget("flow", name)

    def _forget(self, intake: Intake) -> None:
        del self.intakes[intake.name], self._reading[intake.name]
        self._workshop.metrics.forget("source", intake.name)

    def _way_of(self, source: str) -> tuple[str, Ruleset]:
        flow = self.assembly.read[source].name
        ruleset = self.assembly.ruleset(flow, source)
        assert ruleset is not None  # noqa: S101 - the flow was found in the same configuration
        return flow, ruleset

    def _pipeline(self, name: str, stop: asyncio.Event) -> Pipeline:
        flow, ruleset = self._way_of(name)
        return Pipeline(
            name,
            self._workshop.source(self._configuration, name),
            ruleset,
            self._ways,
            letters=self._workshop.letters,
            metrics=self._workshop.metrics,
            stop=stop,
            gates=self.gates.get(flow),
            samples=self._workshop.samples,
        )

    def _is_used(self, way: Way) -> bool:
        return any(intake.uses(way) for intake in self.intakes.values())

    def _comes_again(self, source: str) -> bool:
        intake = self.intakes.get(source)
        return intake is not None and intake.pipeline.source.replays

    # The end

    def stop(self) -> None:
        """Read no more, and settle what was read."""
        for intake in self.intakes.values():
            intake.stop()

    async def end(self) -> None:
        """Return when every source has ended."""
        while running := [task for task in self._reading.values() if not task.done()]:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)

    async def cancel_reading(self) -> None:
        """Have every source end at once: what is not settled is given up."""
        for task in self._reading.values():
            task.cancel()
        await self.end()

    def cancel(self) -> None:
        """Have everything end at once."""
        for task in (*self._reading.values(), *self._retirements.values()):
            task.cancel()
        for known in (*self.exits.values(), *self._leaving.values()):
            known.cancel()

    def close(self) -> None:
        """Let go of the disk buffers, once all tasks have ended."""
        for known in (*self.exits.values(), *self._leaving.values()):
            known.close()
