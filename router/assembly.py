"""What a configuration names, made: connectors, policies, tables, rulesets."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from router.config import Configuration, SinkSpec, SourceSpec, incoming_format
from router.interfaces import Sink, Source
from router.letterbox import LetterBox
from router.metrics import Metrics
from router.mover import letters_ruleset
from router.outlet import Outlet, Policy
from router.sampling import Samples
from router.settings import Context
from router.state import StateDir
from router.tables import Tables
from rules.codecs import Format, Json
from rules.faults import Fault, Refused
from rules.flow import Flow
from rules.ruleset import Ruleset, SinkFacts, compile_flow
from rules.testing import run_tests


class Assembly(Struct):
    """A configuration with its tables, and the rulesets of its flows: what it means, before anything of it runs."""

    configuration: Configuration
    tables: Tables
    rulesets: dict[tuple[str, Format], Ruleset] = field(default_factory=dict)
    """Those that are compiled, by flow and by the format of what comes in."""

    def flow(self, name: str) -> Flow | None:
        """The flow of this name."""
        return next((flow for flow in self.configuration.flows if flow.name == name), None)

    def flow_of(self, source: str) -> Flow | None:
        """The flow that reads a source."""
        return next((flow for flow in self.configuration.flows if source in dict(flow.sources)), None)

    @property
    def read(self) -> dict[str, Flow]:
        """By source that is read, its flow."""
        return {source: flow for flow in self.configuration.flows for source, _ in flow.sources}

    def ruleset(self, flow: str, source: str) -> Ruleset | None:
        """What decides about records of a source; of one that is gone, as if they were those of the flow's first
        source. None when there is no such flow. Compiled when it is first asked for."""
        found, sources = self.flow(flow), self.configuration.sources
        if found is None:
            return None
        known = [name for name in (source, *(name for name, _ in found.sources)) if name in sources]
        return self._ruleset(found, sources[known[0]].decode if known else Json())

    def _ruleset(self, flow: Flow, decode: Format) -> Ruleset:
        key = (flow.name, decode)
        if key not in self.rulesets:
            self.rulesets[key] = ruleset_of(self.configuration, flow, decode, self.tables)
        return self.rulesets[key]

    def letters_rulesets(self) -> dict[str, Ruleset]:
        """By sink, how dead letters that are moved go out."""
        return letters_rulesets(self.configuration, self.tables)

    def compile(self, before: Assembly | None = None) -> None:
        """Compile all of it, but for what is the same as ``before``, and run the tests in the rules files of what is
        not. Takes long for large flows, and may run in a thread. Raises Refused with every fault and every test that
        fails."""
        kept = {} if before is None or not _have_same_surroundings(before, self) else before.versions()
        faults: list[Fault] = []
        for flow in self.configuration.flows:
            if before is not None and kept.get(flow.name) == flow.version:
                self.rulesets |= {key: made for key, made in before.rulesets.items() if key[0] == flow.name}
            try:
                rulesets = {
                    name: self._ruleset(flow, self.configuration.sources[name].decode) for name, _ in flow.sources
                }
            except Refused as refused:
                faults += refused.faults
                continue
            if before is not None and kept.get(flow.name) != flow.version:
                faults += self._failures(flow, rulesets)
        if faults:
            raise Refused(faults, self.configuration.warnings)

    def _failures(self, flow: Flow, rulesets: Mapping[str, Ruleset]) -> list[Fault]:
        mask = self.configuration.secrets.mask
        return [
            Fault(
                result.place,
                f"the test `{result.name}` fails: {mask('; '.join(map(str, result.failures)))}",
                "`sluiceway test` explains it",
            )
            for result in run_tests(flow, rulesets)
            if not result.passed
        ]

    def versions(self) -> dict[str, str]:
        """By flow, the version of its rules."""
        return {flow.name: flow.version for flow in self.configuration.flows}


def _have_same_surroundings(old: Assembly, new: Assembly) -> bool:
    """Whether an unchanged flow means the same."""
    before, after = old.configuration, new.configuration
    return (
        before.vars == after.vars
        and before.named_secrets == after.named_secrets
        and before.models == after.models
        and new.tables.are_those_of(old.tables)
        and _facts(before) == _facts(after)
    )


def has_same_letters(old: Assembly, new: Assembly) -> bool:
    """Whether dead letters go where they went before, and as they did."""
    return old.configuration.dead_letters == new.configuration.dead_letters and _have_same_surroundings(old, new)


def _facts(configuration: Configuration) -> dict[str, tuple[object, ...]]:
    """What rulesets know of sinks, in terms that can be compared."""
    return {name: (spec.type, spec.fingerprint, spec.encode, spec.allow) for name, spec in configuration.sinks.items()}


class Workshop(Struct, frozen=True):
    """Where the connectors of a configuration are made, within the surroundings that they share."""

    state: StateDir
    letters: LetterBox
    metrics: Metrics
    failed: Callable[[], None]
    """Called when a sink never will take anything again."""
    samples: Samples = field(default_factory=Samples)

    def source(self, configuration: Configuration, name: str) -> Source:
        """A source, not yet open."""
        spec = configuration.sources[name]
        return build_source(spec, self._context(configuration, "source", name, spec.decode))

    def sink(self, configuration: Configuration, name: str) -> Sink:
        """A sink, not yet open."""
        spec = configuration.sinks[name]
        context = self._context(configuration, "sink", name, outgoing_format(configuration, name))
        return build_sink(spec, replace(context, write_timeout=spec.timeout))

    def outlet(self, spec: SinkSpec, sink: Sink) -> Outlet:
        """The way to a sink."""
        letters, metrics, ended = self.letters, self.metrics, self.failed
        return Outlet(spec.name, sink, policy_of(spec), letters=letters, metrics=metrics, ended=ended)

    def _context(self, configuration: Configuration, kind: str, name: str, payloads: Format) -> Context:
        return Context(
            name=name,
            folder=configuration.folder,
            positions=self.state.positions(name if kind == "source" else f"{kind} {name}"),
            format=payloads,
            count=self.metrics.connector(kind, name),
        )


def outgoing_format(configuration: Configuration, sink: str) -> Format:
    """The format of what goes out to a sink as it came."""
    spec = configuration.sinks[sink]
    return spec.encode or incoming_format(sink, configuration.flows, configuration.sources, configuration.dead_letters)


def build_source(spec: SourceSpec, context: Context) -> Source:
    """The source that a specification names, in these surroundings."""
    source: Source = spec.connector(spec.settings.within(context))
    return source


def build_sink(spec: SinkSpec, context: Context) -> Sink:
    """The sink that a specification names, in these surroundings."""
    sink: Sink = spec.connector(spec.settings.within(context))
    return sink


def policy_of(spec: SinkSpec) -> Policy:
    """How deliveries to a sink are made."""
    return Policy(
        batch_records=spec.batch.records,
        batch_bytes=spec.batch.bytes,
        batch_wait=spec.batch.wait,
        attempts=spec.retry.attempts,
        backoff=spec.retry.backoff,
        timeout=spec.timeout,
        queue_records=spec.queue.records,
        queue_bytes=spec.queue.bytes,
        when_full=spec.when_full if spec.buffer is None else "block",  # before the buffer, it is the buffer's
        ordered=spec.ordered,
        allow=spec.allow,
    )


def sink_facts(configuration: Configuration) -> dict[str, SinkFacts]:
    """What the rules need to know of every sink."""
    return {
        name: SinkFacts(
            name=name,
            encode=spec.encode,
            templates=spec.templates,
            per_record=spec.settings.per_record(),
            allow=spec.allow,
        )
        for name, spec in configuration.sinks.items()
    }


def tables_of(configuration: Configuration, before: Tables | None = None) -> Tables:
    """The tables of a configuration, still empty but for those that are as they were ``before``, and its secrets: what
    is around its rules."""
    mask = configuration.secrets.mask
    return Tables(configuration.tables, configuration.named_secrets, configuration.folder, mask, before)


def letters_rulesets(configuration: Configuration, tables: Tables) -> dict[str, Ruleset]:
    """By sink, how dead letters that are moved go out. Raises ``rules.faults.Refused``."""
    facts = sink_facts(configuration)
    variables, around = configuration.vars, tables.around
    return {
        name: letters_ruleset(facts[name], {*spec.settings.model_fields_set, *spec.templates}, variables, around)
        for name, spec in configuration.sinks.items()
        if name in configuration.dead_letters.sinks
    }


def ruleset_of(configuration: Configuration, flow: Flow, decode: Format, tables: Tables) -> Ruleset:
    """A flow compiled for records that are decoded so. It looks into the ``tables`` as they are at each record."""
    return compile_flow(
        flow,
        decode=decode,
        sinks=sink_facts(configuration),
        vars=configuration.vars,
        models=configuration.models,
        around=tables.around,
    )


def is_source_changed(old: Configuration, new: Configuration, name: str) -> bool:
    """Whether a source has to be closed and opened again to be what the new configuration says."""

    def facts(configuration: Configuration) -> tuple[object, ...]:
        spec = configuration.sources[name]
        return configuration.folder, spec.connector, spec.fingerprint, spec.decode

    return facts(old) != facts(new)


def is_sink_changed(old: Configuration, new: Configuration, name: str) -> bool:
    """The same for a sink."""

    def facts(configuration: Configuration) -> tuple[object, ...]:
        spec = configuration.sinks[name]
        outgoing = outgoing_format(configuration, name)
        return configuration.folder, spec.connector, spec.fingerprint, outgoing, spec.timeout

    return facts(old) != facts(new)
