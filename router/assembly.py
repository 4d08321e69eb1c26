"""What a configuration names, made: connectors, policies, tables, rulesets."""

from __future__ import annotations

from router.config import Configuration, SinkSpec, SourceSpec
from router.interfaces import Sink, Source
from router.mover import letters_ruleset
from router.outlet import Policy
from router.settings import Context
from router.tables import Tables
from rules.codecs import Format
from rules.flow import Flow
from rules.ruleset import Ruleset, SinkFacts, compile_flow


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


def tables_of(configuration: Configuration) -> Tables:
    """The tables of a configuration, still empty, and its secrets: what is around its rules."""
    return Tables(configuration.tables, configuration.named_secrets, configuration.folder, configuration.secrets.mask)


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
