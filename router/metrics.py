"""The metrics, named as Prometheus names things: base units, ``_total``, bounded labels, counted per batch.

One ``Metrics`` belongs to one daemon. Components ask it once for their own children and then count on those.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from msgspec import Struct
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from router.interfaces import Lag
from rules.decisions import Decisions, Rejection
from rules.flow import DEAD_LETTER, DROP, Flow
from rules.gates import RESULTS

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series for each series that nobody alerts on

WRITE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ROUTE_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
TABLE_RESULTS = ("loaded", "unchanged", "failed")
END_TO_END_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class Family(Struct, frozen=True):
    """A metric, by the name that a scrape shows, with its labels."""

    name: str
    type: Literal["counter", "gauge", "histogram", "info"]
    help: str
    labels: tuple[str, ...]


class SourceMetrics(Struct, frozen=True):
    """What is counted of one source."""

    records: Counter
    bytes: Counter
    unacked: Gauge
    connected: Gauge
    paused: Gauge
    ended: Gauge
    abandoned: Counter


class SinkMetrics(Struct, frozen=True):
    """What is counted of one sink."""

    records: Counter
    bytes: Counter
    write_seconds: Histogram
    retries: Counter
    revoked: Counter
    queue_records: Gauge
    queue_bytes: Gauge
    queue_limit_records: Gauge
    queue_limit_bytes: Gauge
    connected: Gauge


class BufferMetrics(Struct, frozen=True):
    """What is counted of the disk buffer of one sink."""

    records: Gauge
    bytes: Gauge
    limit: Gauge
    restored: Counter
    revoked: Counter


class TableMetrics(Struct, frozen=True):
    """What is counted of one table; ``refreshes`` by their result."""

    rows: Gauge
    age: Gauge
    refreshes: Mapping[str, Counter]


class GateMetrics(Struct, frozen=True):
    """What is shown of one gate besides what it does with records."""

    keys: Gauge
    forgotten: Counter


class _Children(dict[str, Counter]):
    """The counters of one flow by their last label: a flow may have a thousand rules, and looking one up by its labels
    takes longer than deciding about a record."""

    def __init__(self, family: Counter, flow: str) -> None:
        super().__init__()
        self._family = family
        self._flow = flow

    def __missing__(self, label: str) -> Counter:
        child = self[label] = self._family.labels(self._flow, label)
        return child


class FlowMetrics:
    """What is counted of one flow."""

    def __init__(self, name: str, families: Metrics) -> None:
        self._name = name
        self._families = families
        self._records = families.flow_records.labels(name)
        self._route_seconds = families.route_seconds.labels(name)
        self._rules = _Children(families.rule_records, name)
        self._dropped = _Children(families.dropped, name)
        self._routed = _Children(families.routed, name)

    def count(self, decisions: Decisions, records: int, seconds: float) -> None:
        """Count what was decided about one batch of so many records, and how long that took."""
        name, families = self._name, self._families
        self._records.inc(records)
        self._route_seconds.observe(seconds)
        for rule, records in decisions.matched.items():
            self._rules[rule].inc(records)
        for (rule, kind), records in decisions.errors.items():
            families.rule_errors.labels(name, rule, kind).inc(records)
        for check, records in decisions.violations.items():
            families.violations.labels(name, check).inc(records)
        for rule, records in decisions.dropped.items():
            self._dropped[rule].inc(records)
        for (rule, gate, result), records in decisions.gated.items():
            families.gate_records.labels(name, rule, gate, result).inc(records)
        if decisions.unmatched:
            families.unmatched.labels(name).inc(decisions.unmatched)
        for delivery in decisions.deliveries:
            self._routed[delivery.sink].inc(len(delivery.indices))

    def count_rejected(self, source: str, records: int, rejections: Sequence[Rejection]) -> None:
        """Count records that went back to where they came from, and the violations because of which they did."""
        self._families.rejected.labels(self._name, source).inc(records)
        for rejection in rejections:
            for violation in rejection.violations if rejection.letter.stage == "contract" else ():
                self._families.violations.labels(self._name, violation.check).inc()


class Metrics:
    """Every metric of the daemon, in a registry of its own. ``mask`` takes out of a label what must not be shown."""

    def __init__(self, mask: Callable[[str], str] = lambda text: text) -> None:
        self._mask = mask
        self.registry = CollectorRegistry()
        # The library takes a counter x_total for a claim on the name x, which the exposition format does not.
        self._kept_registry = CollectorRegistry()
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        self._partitions: dict[str, set[str]] = {}
        self._collectors: list[tuple[tuple[str, ...], Counter | Gauge | Histogram]] = []
        self.families: list[Family] = []
        self._sources()
        self._flows()
        self._sinks()
        self._tables()
        self._configuration()

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        made = Counter(self._family(name, "counter", help_, labels), help_, labels, registry=self.registry)
        self._collectors.append((labels, made))
        return made

    def _gauge(self, name: str, help_: str, *labels: str, registry: CollectorRegistry | None = None) -> Gauge:
        made = Gauge(self._family(name, "gauge", help_, labels), help_, labels, registry=registry or self.registry)
        self._collectors.append((labels, made))
        return made

    def _histogram(self, name: str, help_: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        full = self._family(name, "histogram", help_, labels)
        made = Histogram(full, help_, labels, registry=self.registry, buckets=buckets)
        self._collectors.append((labels, made))
        return made

    def _family(
        self, name: str, type_: Literal["counter", "gauge", "histogram", "info"], help_: str, labels: tuple[str, ...]
    ) -> str:
        family = Family(f"sluiceway_{name}", type_, help_, labels)
        self.families.append(family)
        return family.name

    def _sources(self) -> None:
        self.source_records = self._counter("source_records_total", "Records read.", "source")
        self.source_bytes = self._counter("source_bytes_total", "Bytes of payload read.", "source")
        self.source_unacked = self._gauge("source_unacked_batches", "Batches read, not yet acknowledged.", "source")
        self.abandoned = self._counter(
            "abandoned_records_total", "Records of a source that cannot replay, given up at a forced stop.", "source"
        )
        lag = ("source", "partition")
        self.lag_records = self._gauge("source_lag_records", "Records not yet acknowledged, per partition.", *lag)
        self.lag_seconds = self._gauge("source_lag_seconds", "Age of the oldest unacknowledged record.", *lag)
        self.lag_bytes = self._gauge("source_lag_bytes", "Bytes not yet acknowledged, of sources that count so.", *lag)
        self.source_paused = self._gauge("source_paused", "1 while the source is paused.", "source")
        self.connected = self._gauge("connected", "1 while the connector is connected.", "kind", "name")
        self.source_ended = self._gauge("source_ended", "1 once the source has come to its end.", "source")
        self.connector_events = self._counter(
            "connector_events_total", "What a connector counts besides records.", "kind", "name", "event"
        )

    def _flows(self) -> None:
        rule = ("flow", "rule")
        self.flow_records = self._counter("flow_records_total", "Records that a flow has decided about.", "flow")
        self.rule_records = self._counter("rule_records_total", "Records that a rule matched.", *rule)
        what = "Errors in a rule, by the part of it that failed."
        self.rule_errors = self._counter("rule_errors_total", what, *rule, "kind")
        self.unmatched = self._counter("unmatched_records_total", "Records that no rule matched.", "flow")
        self.violations = self._counter("contract_violations_total", "Violations of a contract.", "flow", "check")
        self.dropped = self._counter("dropped_records_total", "Records dropped by a rule that says so.", *rule)
        gate = (*rule, "gate")
        self.gate_records = self._counter(
            "gate_records_total", "Records at a gate; result `passed`, `held` or `missing_key`.", *gate, "result"
        )
        self.gate_keys = self._gauge("gate_keys", "Keys that a gate holds.", *gate)
        self.gate_forgotten = self._counter(
            "gate_forgotten_keys_total", "Keys that a gate has forgotten early because of `max_keys`.", *gate
        )
        self.rejected = self._counter(
            "rejected_records_total", "Records sent back to where they came from.", "flow", "source"
        )
        self.dead_letters = self._counter(
            "dead_letters_total", "Dead letters written.", "flow", "stage", "sink", "reason"
        )
        self.dead_letters_kept = self._gauge(
            "dead_letters", "Dead letters in the store.", "flow", registry=self._kept_registry
        )
        self.replayed = self._counter(
            "replayed_letters_total", "Dead letters handed out again, straight to their sink or through the flow.",
            "flow", "to",
        )  # fmt: skip
        self.expired = self._counter(
            "expired_letters_total", "Dead letters deleted because of `retain` or `max_bytes`.", "flow", "setting"
        )
        self.moved = self._counter("moved_letters_total", "Dead letters moved to a sink.", "flow", "to")
        self.stuck = self._counter(
            "stuck_letters_total", "Dead letters that their sink refused, and that stay in the store.", "flow", "to"
        )
        self.dead_letters_bytes = self._gauge("dead_letters_bytes", "Bytes of the file with the dead letters, in use.")
        self.state_writable = self._gauge(
            "state_writable", "0 while positions or dead letters wait because the state folder cannot be written."
        )
        self.route_seconds = self._histogram("route_seconds", "Deciding about a batch.", ROUTE_SECONDS, "flow")
        self.routed = self._counter("routed_deliveries_total", "Deliveries decided on.", "flow", "sink")

    def _sinks(self) -> None:
        self.sink_records = self._counter("sink_records_total", "Records delivered.", "sink")
        self.sink_bytes = self._counter("sink_bytes_total", "Bytes of payload delivered.", "sink")
        self.sink_write_seconds = self._histogram("sink_write_seconds", "One write.", WRITE_SECONDS, "sink")
        self.sink_retries = self._counter("sink_retries_total", "Writes made again.", "sink")
        self.sink_revoked = self._counter(
            "sink_revoked_records_total", "Records left to whoever reads their partition now.", "sink"
        )
        self.sink_queue_records = self._gauge("sink_queue_records", "Records waiting for the sink.", "sink")
        self.sink_queue_bytes = self._gauge("sink_queue_bytes", "Bytes waiting for the sink.", "sink")
        self.sink_queue_limit_records = self._gauge(
            "sink_queue_limit_records", "Records that the sink's queue holds at most.", "sink"
        )
        self.sink_queue_limit_bytes = self._gauge(
            "sink_queue_limit_bytes", "Bytes that the sink's queue holds at most.", "sink"
        )
        self.sink_buffer_records = self._gauge("sink_buffer_records", "Records in the sink's disk buffer.", "sink")
        self.sink_buffer_bytes = self._gauge("sink_buffer_bytes", "Bytes of payload in the sink's disk buffer.", "sink")
        self.sink_buffer_limit = self._gauge(
            "sink_buffer_limit_bytes", "Bytes of payload that the sink's disk buffer holds at most.", "sink"
        )
        self.sink_restored = self._counter(
            "sink_restored_records_total", "Records found in the sink's disk buffer at the start.", "sink"
        )
        self.end_to_end = self._histogram(
            "end_to_end_seconds",
            "From read to durable, per delivered part of a batch.",
            END_TO_END_SECONDS,
            "source",
            "sink",
        )

    def _tables(self) -> None:
        self.table_rows = self._gauge("table_rows", "Rows of a table, as expressions see it.", "table")
        self.table_age = self._gauge(
            "table_age_seconds", "Time since a table was last known to be what it is read from.", "table"
        )
        self.table_refreshes = self._counter(
            "table_refreshes_total", "Readings of a table: loaded, unchanged, or failed.", "table", "result"
        )

    def _configuration(self) -> None:
        self.reloads = self._counter("config_reloads_total", "Reloads of the configuration.", "result")
        self.last_reload_successful = self._gauge("config_last_reload_successful", "1 when the last reload was taken.")
        self.config_info = self._gauge("config_info", "The running configuration.", "version")
        self.flow_info = self._gauge(
            "flow_info", "The flows that run, and the version of their rules.", "flow", "version"
        )
        self.audit_failures = self._counter(
            "audit_failures_total", "Entries of the audit that could not be written when they were made.", "action"
        )
        running = {"version": version(), "python": platform.python_version()}
        self._family("build_info", "info", "What is running.", tuple(running))
        Info("sluiceway_build", "What is running.", registry=self.registry).info(running)

    def source(self, name: str) -> SourceMetrics:
        """The children of one source."""
        return SourceMetrics(
            records=self.source_records.labels(name),
            bytes=self.source_bytes.labels(name),
            unacked=self.source_unacked.labels(name),
            connected=self.connected.labels("source", name),
            paused=self.source_paused.labels(name),
            ended=self.source_ended.labels(name),
            abandoned=self.abandoned.labels(name),
        )

    def sink(self, name: str) -> SinkMetrics:
        """The children of one sink."""
        return SinkMetrics(
            records=self.sink_records.labels(name),
            bytes=self.sink_bytes.labels(name),
            write_seconds=self.sink_write_seconds.labels(name),
            retries=self.sink_retries.labels(name),
            revoked=self.sink_revoked.labels(name),
            queue_records=self.sink_queue_records.labels(name),
            queue_bytes=self.sink_queue_bytes.labels(name),
            queue_limit_records=self.sink_queue_limit_records.labels(name),
            queue_limit_bytes=self.sink_queue_limit_bytes.labels(name),
            connected=self.connected.labels("sink", name),
        )

    def buffer(self, sink: str) -> BufferMetrics:
        """The children of the disk buffer of one sink."""
        return BufferMetrics(
            records=self.sink_buffer_records.labels(sink),
            bytes=self.sink_buffer_bytes.labels(sink),
            limit=self.sink_buffer_limit.labels(sink),
            restored=self.sink_restored.labels(sink),
            revoked=self.sink_revoked.labels(sink),
        )

    def table(self, name: str) -> TableMetrics:
        """The children of one table."""
        return TableMetrics(
            rows=self.table_rows.labels(name),
            age=self.table_age.labels(name),
            refreshes={result: self.table_refreshes.labels(name, result) for result in TABLE_RESULTS},
        )

    def flow(self, name: str) -> FlowMetrics:
        """The counters of one flow."""
        return FlowMetrics(name, self)

    def gate(self, flow: str, rule: str, gate: str) -> GateMetrics:
        """The children of one gate."""
        labels = flow, rule, gate
        return GateMetrics(keys=self.gate_keys.labels(*labels), forgotten=self.gate_forgotten.labels(*labels))

    def connector(self, kind: str, name: str) -> Callable[[str, int], None]:
        """What counts the events of one connector."""
        return lambda event, number: self.connector_events.labels(kind, name, event).inc(number)

    def begin(self, flow: Flow, before: Flow | None = None) -> None:
        """Show what is counted of a flow as 0 before anything is counted, so that its first rise is one; and nothing
        any more of rules and gates that were there ``before``."""
        if before is not None:
            self._forget_rules(before, flow)
        self.flow_info.labels(flow.name, flow.version).set(1)
        self.unmatched.labels(flow.name)
        for source, _ in flow.sources if flow.otherwise.rejecting else ():
            self.rejected.labels(flow.name, source)
        for rule in flow.rules:
            self.rule_records.labels(flow.name, rule.name)
            for gate in rule.gates:
                for result in RESULTS:
                    self.gate_records.labels(flow.name, rule.name, gate.kind, result)
            for target in rule.targets:
                if target.sink == DROP:
                    self.dropped.labels(flow.name, rule.name)
                elif target.sink != DEAD_LETTER:
                    self.routed.labels(flow.name, target.sink)

    def _forget_rules(self, before: Flow, flow: Flow) -> None:
        if before.version != flow.version:
            self.flow_info.remove(before.name, before.version)
        kinds = {rule.name: {gate.kind for gate in rule.gates} for rule in flow.rules}
        for rule in before.rules:
            if rule.name not in kinds:
                self.rule_records.remove(flow.name, rule.name)
                self.dropped.remove(flow.name, rule.name)
                self.rule_errors.remove_by_labels({"flow": flow.name, "rule": rule.name})
            for gate in {gate.kind for gate in rule.gates} - kinds.get(rule.name, set()):
                self._remove(flow=flow.name, rule=rule.name, gate=gate)

    def forget(self, kind: Literal["source", "sink", "flow", "table"], name: str) -> None:
        """Show nothing any more of a component that is gone. Of a flow, the dead letters that there still are stay."""
        self._remove(**{kind: name})
        self._remove(kind=kind, name=name)
        if kind == "source":
            self._partitions.pop(name, None)

    def forget_buffer(self, sink: str) -> None:
        """Show nothing any more of a sink's disk buffer."""
        for family in (self.sink_buffer_records, self.sink_buffer_bytes, self.sink_buffer_limit, self.sink_restored):
            family.remove_by_labels({"sink": sink})

    def _remove(self, **labels: str) -> None:
        """Every series that has these labels."""
        for names, collector in self._collectors:
            if labels.keys() <= set(names):
                collector.remove_by_labels(labels)

    def set_lag(self, source: str, lags: Sequence[Lag]) -> None:
        """Show the lag of each partition, and forget partitions that are gone. Those whose names look alike once they
        are masked are shown together: the sum of their records and bytes, the longest of their times."""
        shown: dict[str, list[Lag]] = {}
        for lag in lags:
            shown.setdefault(self._mask(lag.partition), []).append(lag)
        for partition in self._partitions.get(source, set()) - shown.keys():
            for family in (self.lag_records, self.lag_seconds, self.lag_bytes):
                with contextlib.suppress(KeyError):
                    family.remove(source, partition)
        self._partitions[source] = set(shown)
        for partition, alike in shown.items():
            if records := [lag.records for lag in alike if lag.records is not None]:
                self.lag_records.labels(source, partition).set(sum(records))
            if seconds := [lag.seconds for lag in alike if lag.seconds is not None]:
                self.lag_seconds.labels(source, partition).set(max(seconds))
            if octets := [lag.bytes for lag in alike if lag.bytes is not None]:
                self.lag_bytes.labels(source, partition).set(sum(octets))

    def page(self) -> tuple[bytes, str]:
        """The exposition and its content type; what the process uses stands at its end."""
        registries = (self.registry, self._kept_registry, self._process)
        return b"".join(generate_latest(registry) for registry in registries), CONTENT_TYPE_PLAIN_0_0_4


def families_of(kind: Literal["source", "sink"]) -> list[Family]:
    """What is shown of each source or each sink: the metrics with a label that says which one it is."""
    return [family for family in Metrics().families if kind in family.labels or {"kind", "name"} <= set(family.labels)]


def version() -> str:
    """The version of the installed distribution."""
    from importlib.metadata import version as installed

    return installed("sluiceway")
