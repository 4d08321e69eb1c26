"""What the dashboard shows: rows of panels, each with its queries for Prometheus."""

from __future__ import annotations

from dataclasses import dataclass

ME = 'instance=~"$instance"'
"""The daemons that are chosen at the head of the dashboard."""
RATE = "[$__rate_interval]"
PER_SECOND = "suffix: /s"


@dataclass(frozen=True, slots=True)
class Query:
    """What one line, or one family of lines, is drawn from."""

    expression: str
    legend: str = ""
    empty: str = ""
    """While what there is nothing to see; empty where there always is something."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. ``unit`` is Grafana's name of it; ``kind`` is ``timeseries``, ``stat`` or ``table``."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    about: str = ""


def rate(metric: str, *by: str, where: str = "", legend: str = "", empty: str = "") -> Query:
    """Events a second of a counter, by some of its labels."""
    selector = f"{ME},{where}" if where else ME
    shown = legend or " ".join(f"{{{{{label}}}}}" for label in by)
    return Query(f"sum by ({', '.join(by)}) (rate(sluiceway_{metric}{{{selector}}}{RATE}))", shown, empty)


def level(series: str, *by: str, of: str = "sum", legend: str = "", empty: str = "") -> Query:
    """The value of a gauge, by some of its labels."""
    shown = legend or " ".join(f"{{{{{label}}}}}" for label in by)
    return Query(f"{of} by ({', '.join(by)}) ({series}{{{ME}}})", shown, empty)


def quantiles(histogram: str, *by: str) -> tuple[Query, ...]:
    """The middle and the slowest hundredth of a histogram."""
    names = " ".join(f"{{{{{label}}}}}" for label in by)
    inner = f"sum by ({', '.join(('le', *by))}) (rate(sluiceway_{histogram}_bucket{{{ME}}}{RATE}))"
    return tuple(Query(f"histogram_quantile({q}, {inner})", f"{names} p{q * 100:g}") for q in (0.5, 0.99))


def stat(title: str, expression: str, unit: str = "short", about: str = "") -> Panel:
    """One number."""
    return Panel(title, unit, (Query(expression),), "stat", about)


ROWS: dict[str, tuple[Panel, ...]] = {
    "Overview": (
        stat("Daemons", f"count(sluiceway_build_info{{{ME}}})"),
        stat("Alerts", 'count(ALERTS{alertname=~"Sluiceway.+",alertstate="firing"}) or vector(0)'),
        stat("Not connected", f"count(sluiceway_connected{{{ME}}} == 0) or vector(0)", about="Sources and sinks."),
        stat("Read", f"sum(rate(sluiceway_source_records_total{{{ME}}}{RATE}))", PER_SECOND),
        stat("Delivered", f"sum(rate(sluiceway_sink_records_total{{{ME}}}{RATE}))", PER_SECOND),
        stat("Oldest waiting record", f"max(sluiceway:source_lag_seconds{{{ME}}})", "s"),
        stat("Dead letters", f"sum(sluiceway_dead_letters{{{ME}}})", about="Kept, until they are replayed or purged."),
        stat("State folder", f"min(sluiceway_state_writable{{{ME}}})", about="1 while every one can be written."),
        Panel(
            "In and out",
            PER_SECOND,
            (
                Query(f"sum(rate(sluiceway_source_records_total{{{ME}}}{RATE}))", "read"),
                Query(f"sum(rate(sluiceway_routed_deliveries_total{{{ME}}}{RATE}))", "routed"),
                Query(f"sum(rate(sluiceway_sink_records_total{{{ME}}}{RATE}))", "delivered"),
            ),
        ),
        Panel(
            "Firing alerts",
            "short",
            (Query('ALERTS{alertname=~"Sluiceway.+",alertstate="firing"}', "", "no alert fires"),),
            "table",
        ),
        Panel("Oldest waiting record", "s", (level("sluiceway:source_lag_seconds", "source", of="max"),)),
    ),
    "Sources": (
        Panel("Records read", PER_SECOND, (rate("source_records_total", "source"),)),
        Panel("Bytes read", "Bps", (rate("source_bytes_total", "source"),)),
        Panel("Records waiting", "short", (level("sluiceway:source_lag_records", "source"),), about="The lag."),
        Panel("Oldest waiting record", "s", (level("sluiceway:source_lag_seconds", "source", of="max"),)),
        Panel(
            "Time to drain",
            "s",
            (level("sluiceway:source_drain_seconds", "source", of="max", empty="no lag shrinks"),),
            about="At the pace at which the lag has shrunk in the last 15 minutes.",
        ),
        Panel("Batches not acknowledged", "short", (level("sluiceway_source_unacked_batches", "source"),)),
        Panel(
            "Connected",
            "short",
            (
                level("sluiceway:source_connected", "source", of="min"),
                level("sluiceway_source_paused", "source", of="max", legend="{{source}} paused"),
                level("sluiceway_source_ended", "source", of="max", legend="{{source}} ended"),
            ),
        ),
        Panel(
            "Connectors' own events",
            PER_SECOND,
            (rate("connector_events_total", "kind", "name", "event", empty="no connector has counted anything"),),
        ),
        Panel("Records given up", PER_SECOND, (rate("abandoned_records_total", "source"),), about="Lost."),
    ),
    "Flows and rules": (
        Panel("Records decided about", PER_SECOND, (rate("flow_records_total", "flow"),)),
        Panel(
            "Rules that match most",
            PER_SECOND,
            (
                Query(
                    f"topk(20, sum by (flow, rule) (rate(sluiceway_rule_records_total{{{ME}}}{RATE})))",
                    "{{flow}} {{rule}}",
                ),
            ),
        ),
        Panel("Deliveries decided on", PER_SECOND, (rate("routed_deliveries_total", "flow", "sink"),)),
        Panel(
            "Rule errors",
            PER_SECOND,
            (rate("rule_errors_total", "flow", "rule", "kind", empty="no rule has failed"),),
        ),
        Panel(
            "Dropped and unmatched",
            PER_SECOND,
            (
                rate("dropped_records_total", "flow", "rule", empty="no rule drops anything"),
                rate("unmatched_records_total", "flow", legend="{{flow}} unmatched"),
            ),
        ),
        Panel("Deciding about a batch", "s", quantiles("route_seconds", "flow")),
        Panel(
            "Age of tables",
            "s",
            (level("sluiceway_table_age_seconds", "table", of="max", empty="there is no table"),),
        ),
        Panel(
            "Readings of tables",
            PER_SECOND,
            (rate("table_refreshes_total", "table", "result", empty="there is no table"),),
        ),
        Panel(
            "Rows of tables", "short", (level("sluiceway_table_rows", "table", of="max", empty="there is no table"),)
        ),
    ),
    "Contract": (
        Panel(
            "Violations",
            PER_SECOND,
            (rate("contract_violations_total", "flow", "check", empty="no record has broken a contract"),),
        ),
        Panel(
            "Violations for each record",
            "percentunit",
            (
                level(
                    "sluiceway:contract_violations:share15m",
                    "flow",
                    of="max",
                    legend="{{flow}} in 15 minutes",
                    empty="no record has broken a contract",
                ),
                level(
                    "sluiceway:contract_violations:share6h",
                    "flow",
                    of="max",
                    legend="{{flow}} in 6 hours",
                    empty="no record has broken a contract",
                ),
            ),
        ),
        Panel(
            "Sent back",
            PER_SECOND,
            (rate("rejected_records_total", "flow", "source", empty="no flow has `reject` in its `otherwise`"),),
        ),
    ),
    "Sinks": (
        Panel("Records delivered", PER_SECOND, (rate("sink_records_total", "sink"),)),
        Panel("Bytes delivered", "Bps", (rate("sink_bytes_total", "sink"),)),
        Panel("One write", "s", quantiles("sink_write_seconds", "sink")),
        Panel("Queue", "percentunit", (level("sluiceway:sink_queue_fill", "sink", of="max"),), about="1 is full."),
        Panel("Records in the queue", "short", (level("sluiceway_sink_queue_records", "sink"),)),
        Panel("Writes made again", PER_SECOND, (rate("sink_retries_total", "sink"),)),
        Panel("From read to durable", "s", quantiles("end_to_end_seconds", "source", "sink")),
        Panel(
            "Deliveries later than 10 s",
            "percentunit",
            (
                Query("sluiceway:end_to_end_slow:share5m", "{{source}} {{sink}} in 5 minutes"),
                Query("sluiceway:end_to_end_slow:share6h", "{{source}} {{sink}} in 6 hours"),
            ),
            about="The objective allows 1 %, of all daemons together.",
        ),
        Panel("Connected", "short", (level("sluiceway:sink_connected", "sink", of="min"),)),
    ),
    "Dead letters": (
        Panel("Kept", "short", (level("sluiceway_dead_letters", "flow"),)),
        Panel(
            "Written",
            PER_SECOND,
            (rate("dead_letters_total", "flow", "stage", "sink", "reason", empty="there was no dead letter"),),
        ),
        Panel(
            "Replayed, moved, stuck, expired",
            PER_SECOND,
            (
                rate("replayed_letters_total", "flow", legend="{{flow}} replayed", empty="none was replayed"),
                rate("moved_letters_total", "flow", legend="{{flow}} moved", empty="none was moved"),
                rate("stuck_letters_total", "flow", legend="{{flow}} stuck", empty="none is stuck"),
                rate("expired_letters_total", "flow", legend="{{flow}} expired", empty="none has expired"),
            ),
        ),
        Panel("On disk", "bytes", (level("sluiceway_dead_letters_bytes", "instance"),)),
    ),
    "Disk buffers": (
        Panel("Full", "percentunit", (level("sluiceway:sink_buffer_fill", "sink", of="max", empty="no sink has one"),)),
        Panel("Records", "short", (level("sluiceway_sink_buffer_records", "sink", empty="no sink has one"),)),
        Panel("Bytes", "bytes", (level("sluiceway_sink_buffer_bytes", "sink", empty="no sink has one"),)),
        Panel(
            "Found at the start",
            "short",
            (level("sluiceway_sink_restored_records_total", "sink", empty="no sink has one"),),
        ),
    ),
    "Gates": (
        Panel(
            "Records",
            PER_SECOND,
            (rate("gate_records_total", "flow", "rule", "gate", "result", empty="no rule has a gate"),),
        ),
        Panel("Keys", "short", (level("sluiceway_gate_keys", "flow", "rule", "gate", empty="no gate has keys"),)),
        Panel(
            "Keys forgotten early",
            PER_SECOND,
            (rate("gate_forgotten_keys_total", "flow", "rule", "gate", empty="no gate has keys"),),
        ),
    ),
    "Process": (
        Panel("CPU", "percentunit", (Query(f"rate(process_cpu_seconds_total{{{ME}}}{RATE})", "{{instance}}"),)),
        Panel("Memory", "bytes", (Query(f"process_resident_memory_bytes{{{ME}}}", "{{instance}}"),)),
        Panel(
            "Open files",
            "percentunit",
            (Query(f"process_open_fds{{{ME}}} / process_max_fds{{{ME}}}", "{{instance}}"),),
            about="Of as many as the system allows.",
        ),
        Panel("Running for", "s", (Query(f"time() - process_start_time_seconds{{{ME}}}", "{{instance}}"),)),
        Panel(
            "Reloads",
            "short",
            (
                level("sluiceway_config_last_reload_successful", "instance", of="min", legend="{{instance}} taken"),
                level("sluiceway_config_reloads_total", "instance", "result", empty="there was no reload"),
            ),
        ),
        Panel("Configuration", "short", (Query(f"sluiceway_config_info{{{ME}}} == 1", ""),), "table"),
        Panel("Version", "short", (Query(f"sluiceway_build_info{{{ME}}}", ""),), "table"),
    ),
}
