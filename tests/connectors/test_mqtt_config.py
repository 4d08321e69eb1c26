"""What the settings of the MQTT connectors refuse, with its place, and what they advise against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub
from pydantic import ValidationError

from connectors.mqtt import MqttSink, MqttSource
from connectors.mqtt.topics import checked_filter, checked_name
from tests.commands import sluiceway

SOURCE = {"broker": "127.0.0.1:1883", "client_id": "me", "topics": ["a/#"]}
SINK = {"broker": "127.0.0.1:1883", "topic": "a/b"}


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"client_id": None}, "client_id is missing: by it the broker knows what is not delivered yet"),
        ({"topics": ["a/#", "a/#"]}, "topics should hold a/# once"),
        ({"topics": []}, "at least 1 item"),
        ({"topics": ["a/#/b"]}, "topic should have # at its end alone, such as sensors/#"),
        ({"topics": ["a/b#"]}, "topic should have + and # alone between slashes, such as sensors/+/temperature"),
        ({"topics": [{"topic": "a+/b"}]}, "topic should have + and # alone between slashes"),
        ({"topics": ["$share/a"]}, "topic should be $share/GROUP/FILTER, such as $share/router/sensors/#"),
        ({"topics": ["$share/+/a"]}, "topic should be $share/GROUP/FILTER"),
        ({"topics": ["a\0"]}, "topic should be text that MQTT can carry: it holds a NUL character"),
        ({"topics": [{"topic": "a", "qos": 3}]}, "Input should be 0, 1 or 2"),
        ({"version": "3.1"}, "Input should be 5 or '3.1.1'"),
        ({"version": "3.1.1", "clean_start": True}, "clean_start should stand beside `version: 5`"),
        ({"version": "3.1.1", "retained": "never"}, "retained: never should stand beside `version: 5`"),
        ({"password": "p"}, "password should stand beside user"),
        ({"version": "3.1.1", "will": {"topic": "w", "delay": "1s"}}, "will.delay should stand beside `version: 5`"),
        ({"will": {"topic": "w/#"}}, "topic should hold no wildcard, and 'w/#' does"),
        ({"receive_maximum": 0}, "greater than or equal to 1"),
        ({"keepalive": "20h"}, "less than or equal to 65535"),
        ({"broker": "localhost"}, "should be host:port"),
    ],
)
def test_what_a_source_cannot_be_told(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError) as error:
        MqttSource.Config.model_validate({**SOURCE, **settings})
    assert fault in str(error.value)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"topic": "a/#"}, "topic should hold no wildcard, and 'a/#' does"),
        ({"topic": ""}, "at least 1 character"),
        ({"response_topic": "+"}, "topic should hold no wildcard"),
        ({"headers": {"a": "\0"}}, "it holds a NUL character"),
        ({"version": "3.1.1", "headers": {"a": "b"}}, "headers should stand beside `version: 5`; 3.1.1 has none"),
        ({"version": "3.1.1", "content_type": "text/plain"}, "content_type should stand beside `version: 5`"),
        ({"version": "3.1.1", "message_expiry": "1h"}, "message_expiry should stand beside `version: 5`"),
        ({"inflight": 70_000}, "less than or equal to 65535"),
    ],
)
def test_what_a_sink_cannot_be_told(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError) as error:
        MqttSink.Config.model_validate({**SINK, **settings})
    assert fault in str(error.value)


@pytest.mark.parametrize(
    ("settings", "replays"),
    [
        ({}, True),
        ({"version": "3.1.1"}, True),
        ({"version": "5"}, True),  # as it comes from the environment
        ({"qos": 0}, False),
        ({"qos": 2}, False),
        ({"topics": ["a", {"topic": "b", "qos": 0}]}, False),
        ({"topics": ["a", {"topic": "b", "qos": 2}]}, False),
        ({"session_expiry": 0}, False),
        ({"clean_start": True}, False),
        ({"qos": 0, "client_id": None}, False),
        ({"session_expiry": 0, "client_id": None}, False),
    ],
)
def test_what_a_source_promises_depends_on_its_settings(settings: dict[str, Any], *, replays: bool) -> None:
    """That what is not acknowledged comes again: of QoS 1 alone, and in a session that is kept."""
    assert MqttSource(MqttSource.Config.model_validate({**SOURCE, **settings})).replays == replays


@given(st.text(st.sampled_from("ab/+#$"), max_size=8))
def test_topics_and_filters(text: str) -> None:
    """A topic is a filter, and matches itself; what is refused has a wildcard in the wrong place, or is nothing."""
    try:
        checked_name(text)
    except ValueError:
        assert not text or set(text) & {"+", "#"}
    else:
        assert checked_filter(text) == text or text.startswith("$share/")
        assert topic_matches_sub(text, text)
    levels = text.split("/")
    misplaced = any(len(level) > 1 and set(level) & {"+", "#"} for level in levels) or "#" in levels[:-1]
    try:
        checked_filter(text)
    except ValueError:
        assert misplaced or not text
    else:
        assert not misplaced


def check(folder: Path, config: str, rules: str = "from: [in]\nrules: [{name: all, to: out}]\n") -> tuple[int, str]:
    (folder / "sluiceway.yaml").write_text(config)
    (folder / "rules.yaml").write_text(rules)
    done = sluiceway("check", cwd=folder, environment={"COLUMNS": "1000"})
    return done.returncode, done.stdout + done.stderr


def test_qos_2_is_advised_against_at_its_place(tmp_path: Path) -> None:
    """By ``sluiceway check``, on both sides: it is no fault."""
    code, said = check(
        tmp_path,
        "http: null\n"
        "sources:\n"
        "  in: {type: mqtt, broker: '127.0.0.1:1883', client_id: a, topics: ['a/#'], qos: 2}\n"
        "sinks:\n"
        "  out:\n"
        "    type: mqtt\n"
        "    broker: 127.0.0.1:1883\n"
        "    topic: b\n"
        "    qos: 2\n"
        "flows: [rules.yaml]\n",
    )
    assert code == 0
    assert "sluiceway.yaml:3:" in said
    assert (
        "QoS 2 promises less than QoS 1 here: what is not delivered when the router dies is lost; should be 1" in said
    )
    assert "sluiceway.yaml:9:" in said
    assert "QoS 2 promises no more than QoS 1 here" in said
    assert "ok: 1 source(s)" in said


def test_of_one_of_several_topics_it_is_advised_against_there(tmp_path: Path) -> None:
    code, said = check(
        tmp_path,
        "http: null\n"
        "sources:\n"
        "  in: {type: mqtt, broker: '127.0.0.1:1883', client_id: a, topics: [{topic: 'a/#', qos: 2}, b]}\n"
        "sinks: {out: {type: mqtt, broker: '127.0.0.1:1883', topic: b}}\n"
        "flows: [rules.yaml]\n",
    )
    assert code == 0
    assert "sluiceway.yaml:3:68: warning: QoS 2 promises less" in said


def test_a_source_and_a_sink_cannot_be_one_client(tmp_path: Path) -> None:
    """As they would be by a connection that says client_id for both: the broker lets in one at a time."""
    code, said = check(
        tmp_path,
        "http: null\n"
        "connections:\n"
        "  main: {type: mqtt, broker: '127.0.0.1:1883', client_id: router}\n"
        "sources: {in: {use: main, topics: ['a/#']}}\n"
        "sinks: {out: {use: main, topic: b}}\n"
        "flows: [rules.yaml]\n",
    )
    assert code == 2
    assert "`out` cannot run beside `in`: both have client_id router, and 127.0.0.1:1883 lets in one of them" in said


def test_a_connection_may_be_shared(tmp_path: Path) -> None:
    """With what both need, and a client_id for the source."""
    code, said = check(
        tmp_path,
        "http: null\n"
        "connections:\n"
        "  main: {type: mqtt, broker: '127.0.0.1:1883', user: me, password: '${env:NONE:-secret}', tls: {}}\n"
        "sources: {in: {use: main, client_id: router, topics: ['a/#']}}\n"
        "sinks: {out: {use: main, topic: 'b/${event.c}', retain: '${event.d}', allow: {topic: ['b/*']}}}\n"
        "flows: [rules.yaml]\n",
    )
    assert code == 0, said
