"""What is wrong with the settings of the source ``kafka`` is told at its place, before anything is connected to."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.config import load
from rules.faults import Refused

FAULTS = {
    "brokers: b:9092, topics: [a], pattern: x, group: g": (
        "2:7: topics or pattern should say what to read, one of the two"
    ),
    "brokers: b:9092, group: g": "2:7: topics or pattern should say what to read, one of the two",
    "brokers: b, topics: [a], group: g": (
        "2:30: `brokers` is `b`; should be host:port, such as 127.0.0.1:9600 or [::1]:9600"
    ),
    "brokers: [b:9092, 5], topics: [a], group: g": (
        "2:30: `brokers` is a list; should be host:port, several separated by commas, or a list of these"
    ),
    "brokers: [], topics: [a], group: g": "2:30: `brokers` is a list; should be one host:port at least",
    "brokers: b:9092, topics: [a]": "2:7: `group` is missing; should be given: the consumer group",
    "brokers: b:9092, topics: [a, a/b], group: g": (
        "2:50: `topics[1]` is `a/b`; should be text that matches `^[A-Za-z0-9._-]{1,249}$`"
    ),
    "brokers: b:9092, pattern: x(, group: g": (
        "2:47: `pattern` is `x(`; should be a regular expression, such as orders-.*: missing ), unterminated "
        "subpattern at position 1"
    ),
    "brokers: b:9092, topics: [a], group: g, session_timeout: 3s": (
        "2:7: heartbeat_interval should not come near session_timeout; a third of it is good"
    ),
    "brokers: b:9092, topics: [a], group: g, revoke_timeout: 150s": (
        "2:7: revoke_timeout should not reach half of max_poll_interval, or a rebalance ends without us"
    ),
    "brokers: b:9092, topics: [a], group: g, fetch_max_wait: 5m": (
        "2:7: fetch_max_wait should not reach request_timeout, or every fetch is given up"
    ),
    "brokers: b:9092, topics: [a], group: g, sasl: {mechanism: PLAIN, username: u}": (
        "2:67: `sasl`: PLAIN should stand beside username and password alone"
    ),
    "brokers: b:9092, topics: [a], group: g, sasl: {mechanism: OAUTHBEARER, username: u}": (
        "2:67: `sasl`: OAUTHBEARER should stand beside oauth2 alone"
    ),
    "brokers: b:9092, topics: [a], group: g, offset_reset: none": (
        "2:75: `offset_reset` is `none`; should be earliest, latest or error"
    ),
    "brokers: b:9092, topics: [a], group: g, max_poll_records: 0": (
        "2:79: `max_poll_records` is `0`; should be more than 0"
    ),
}


def faults_of(folder: Path, sources: str) -> list[str]:
    (folder / "s.yaml").write_text(f"sources:\n{sources}sinks: {{x: {{type: memory}}}}\nflows: [f.yaml]\n")
    (folder / "f.yaml").write_text(
        "from: [in, in2]\nrules: [{to: x}]\n" if "in2" in sources else "from: in\nrules: [{to: x}]\n"
    )
    with pytest.raises(Refused) as refused:
        load([folder / "s.yaml"], {})
    return [str(fault).replace(f"{folder}/s.yaml:", "") for fault in refused.value.faults]


@pytest.mark.parametrize(("settings", "fault"), FAULTS.items())
def test_a_fault_is_told_at_its_place(tmp_path: Path, settings: str, fault: str) -> None:
    assert faults_of(tmp_path, f"  in: {{type: kafka, {settings}}}\n") == [fault]


def test_two_members_by_one_instance_id_are_a_fault(tmp_path: Path) -> None:
    """They would throw each other out."""
    one = "{type: kafka, brokers: b:9092, topics: [a], group: g, group_instance_id: one}"
    (fault,) = faults_of(tmp_path, f"  in: {one}\n  in2: {one}\n")
    assert fault == "3:3: `in2` cannot run beside `in`: both are one of the group g (group_instance_id)"


def test_a_connection_says_once_what_all_that_use_it_need(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "connections: {main: {type: kafka, brokers: 'a:1,b:2', client_id: shop}}\n"
        "sources: {in: {use: main, topics: [a], group: g}}\n"
        "sinks: {x: {type: memory}}\n"
        "flows: [f.yaml]\n"
    )
    (tmp_path / "f.yaml").write_text("from: in\nrules: [{to: x}]\n")
    settings = load([tmp_path / "s.yaml"], {}).sources["in"].settings
    assert (settings.brokers, settings.client_id) == (("a:1", "b:2"), "shop")  # type: ignore[attr-defined]
