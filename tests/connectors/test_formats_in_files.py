"""Avro and Protobuf through the real command, from files to files."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import fastavro
import pytest
from protobuf_types import descriptor_set, order_file, orders

from router.framing import FRAMINGS
from tests.commands import Command, sluiceway

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "tier", "type": "string", "default": "none"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}
WRITTEN = {**SCHEMA, "fields": [SCHEMA["fields"][2], {"name": "id", "type": "int"}]}

CONFIG = """
http: false
sources: {orders: {type: file, path: in.avro, decode: {type: avro, schema: order.avsc}}}
sinks:
  out: {type: file, path: out.avro, framing: {type: avro, codec: deflate}, encode: {type: avro, schema: order.avsc}}
  same: {type: file, path: same.avro}
flows: [flow.yaml]
"""
FLOW = """
from: [orders]
rules:
  - {name: every, to: same, continue: true}
  - {name: big, when: event.id >= 10 && event.at > timestamp("1970-01-01T00:00:00Z"), set: {event.tier: gold}, to: out}
  - {name: rest, to: out}
tests:
  - name: a big order is gold
    given: [{event: {id: 10, at: "2026-01-31T00:00:00Z"}}, {event: {id: 1, at: "2026-01-31T00:00:00Z"}}]
    then:
      same: 2
      out: [{event: {tier: gold, at: "2026-01-31T00:00:00Z"}}, {event: {tier: none}}]
"""


def avro_in(folder: Path, count: int) -> None:
    """A file that was written with another schema than the configured one."""
    events = [{"at": 1_000 * number, "id": number} for number in range(count)]
    with (folder / "in.avro").open("wb") as file:
        fastavro.writer(file, fastavro.parse_schema(WRITTEN), events, codec="deflate", sync_interval=500)
    (folder / "order.avsc").write_text(json.dumps(SCHEMA))
    (folder / "sluiceway.yaml").write_text(CONFIG)
    (folder / "flow.yaml").write_text(FLOW)


def read(path: Path) -> list[Any]:
    return list(fastavro.reader(io.BytesIO(path.read_bytes())))


def test_avro_goes_from_file_to_file(tmp_path: Path) -> None:
    """Changed or not, records leave by the schema of the sink or source, never by that of the file they were in."""
    avro_in(tmp_path, 20)
    assert sluiceway("test", cwd=tmp_path).returncode == 0
    done = sluiceway("run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    tiers = ["none"] * 10 + ["gold"] * 10
    out, same = read(tmp_path / "out.avro"), read(tmp_path / "same.avro")
    assert [(event["id"], event["tier"]) for event in out] == list(enumerate(tiers))
    assert [(event["id"], event["tier"]) for event in same] == [(number, "none") for number in range(20)]
    assert out[3]["at"].timestamp() == 3


def test_a_kill_leaves_a_container_that_can_be_read_and_nothing_is_lost(tmp_path: Path) -> None:
    avro_in(tmp_path, 30_000)
    out = tmp_path / "out.avro"
    for _ in range(3):
        process = Command("run", cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        size = out.stat().st_size if out.exists() else 0
        until = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < until:
            if out.exists() and out.stat().st_size > size:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = sluiceway("run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {event["id"] for event in read(out)} == set(range(30_000))


def test_protobuf_goes_to_json_and_back(tmp_path: Path) -> None:
    codec, framing = orders().codec, FRAMINGS["length"].model_validate({"prefix_type": "varint"})
    events = [{"orderId": f"o{number}", "madeAt": "1970-01-01T00:00:01Z", "total": 2**60} for number in range(5)]
    payloads = [codec.encode(event) for event in [*events, {}]]
    (tmp_path / "in.bin").write_bytes(framing.join(payloads)[0])
    (tmp_path / "shop.binpb").write_bytes(descriptor_set(order_file()))
    protobuf = "{type: protobuf, descriptor_set: shop.binpb, message: shop.v1.Order}"
    for source, sink in (
        (f"path: in.bin, decode: {protobuf}", "path: out.ndjson, encode: json"),
        ("path: out.ndjson", f"path: out.bin, encode: {protobuf}"),
    ):
        (tmp_path / "sluiceway.yaml").write_text(
            f"http: false\nstate_dir: ./{sink[6:9]}-{source[6:9]}\nsources: {{a: {{type: file, {source}}}}}\n"
            f"sinks: {{b: {{type: file, {sink}}}}}\nflows: [flow.yaml]\n"
        )
        (tmp_path / "flow.yaml").write_text("from: [a]\nrules: [{name: all, to: b}]\n")
        done = sluiceway("run", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "out.ndjson").read_text().splitlines()]
    assert lines == [*events, {}]
    assert (tmp_path / "out.bin").read_bytes() == (tmp_path / "in.bin").read_bytes()


@pytest.mark.parametrize(
    ("source", "sink", "fault"),
    [
        ("decode: avro", "framing: newline", "in avro: it should have a `schema`"),
        ("decode: json", "framing: avro", "an Avro file should have `encode: {type: avro, schema: ...}`"),
        ("decode: json", "encode: avro", "should have a `schema`, such as"),
        ("decode: {type: avro, schema: no.avsc}", "encode: json", "no.avsc cannot be read"),
        ("decode: {type: avro, schema: {type: recrd}}", "encode: json", 'there is no type "recrd"'),
        ("decode: {type: protobuf, descriptor_set: no, message: a.B}", "encode: json", "no cannot be read"),
    ],
)
def test_settings_that_cannot_work_are_faults(tmp_path: Path, source: str, sink: str, fault: str) -> None:
    (tmp_path / "sluiceway.yaml").write_text(
        f"sources: {{a: {{type: file, path: in, {source}}}}}\n"
        f"sinks: {{b: {{type: file, path: out, {sink}}}}}\nflows: [flow.yaml]\n"
    )
    (tmp_path / "flow.yaml").write_text("from: [a]\nrules: [{name: all, to: b}]\n")
    done = sluiceway("check", cwd=tmp_path)
    assert done.returncode == 2
    assert fault in " ".join((done.stdout + done.stderr).split())
