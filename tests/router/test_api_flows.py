"""What the API tells of one flow: its file's parts as they are written, what was counted, and what a reload changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from api_daemons import client_of, project

from router.testing import until

FULL = """\
flow: orders
from: [orders]
contract:
  schema: order.json
  expect: {small: event.amount < 10}
  sensitive: [event.user.email]
let: {big: event.amount > 5}
rules:
  - {name: step, set: {event.tier: "${big ? 'gold' : 'x'}-$${y}", 'event["a-b"]': [1, {c: "${big}"}]}, unset: event.old}
  - {name: odd, when: event.nope == 1, to: drop}
  - name: seldom
    when: event.amount == 2
    throttle: {rate: 10/s, burst: 3, per: event.type, else: keyed}
    to: [{sink: keyed, key: "k ${event.amount}", set: {event.x: 1}}, out]
    continue: true
  - {name: parts, when: event.amount == 3, split: {each: "[1, 2]", as: part}, emit: {n: "${part}"}, to: out}
  - {name: rest, to: out}
otherwise: {invalid: pass, error: drop}
"""


def orders(folder: Path) -> Path:
    """The flow's file."""
    (folder / "rules" / "order.json").write_text('{"properties": {"amount": {"type": "integer"}}}')
    return folder / "rules" / "orders.yaml"


def written(folder: Path) -> Path:
    """The daemon's file of a project with that flow."""
    path = project(folder)
    orders(folder).write_text(FULL)
    return path


def rules(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Those of a flow, by name."""
    return {rule["name"]: rule for rule in told["detail"]}


async def test_it_tells_contract_and_rules_as_they_are_written(tmp_path: Path) -> None:
    async with client_of(written(tmp_path)) as client:
        told = await client.get("/api/flows/orders")
        assert told["contract"]["schema"] == {"properties": {"amount": {"type": "integer"}}}
        assert told["contract"]["sensitive"] == ["event.user.email"]
        assert told["let"] == {"big": "event.amount > 5"}
        assert told["otherwise"]["invalid"] == "pass"
        assert told["otherwise"]["error"][0]["sink"] == "drop"
        assert told["otherwise"]["unmatched"] is None
        assert told["changed"] is None
        assert told["file"].endswith("rules/orders.yaml")
        found = rules(told)
        assert found["step"]["set"] == {
            "event.tier": "${big ? 'gold' : 'x'}-$${y}",
            'event["a-b"]': [1, {"c": "${big}"}],
        }
        assert found["step"]["unset"] == ["event.old"]
        assert found["seldom"]["targets"][0]["settings"] == {"key": "k ${event.amount}"}
        assert found["seldom"]["targets"][0]["set"] == {"event.x": 1}
        gate = found["seldom"]["gates"][0]
        assert (gate["kind"], gate["key"], gate["otherwise"]["sink"]) == ("throttle", "event.type", "keyed")
        assert gate["settings"]["records_per_second"] == 10
        assert found["parts"]["split"] == {"each": "[1, 2]", "name": "part"}
        assert found["parts"]["emit"] == {"n": "${part}"}
        assert found["rest"]["line"] == len(FULL.splitlines()) - 1


async def test_it_tells_what_was_counted_of_each_part(tmp_path: Path) -> None:
    async with client_of(written(tmp_path)) as client:
        count = client.daemon.metrics.registry.get_sample_value
        await until(lambda: (count("sluiceway_flow_records_total", {"flow": "orders"}) or 0) > 20)
        told = await client.get("/api/flows/orders")
        found = rules(told)
        assert told["records"] > 20
        assert told["contract"]["checks"][0]["violations"] == told["violations"] > 0
        assert found["rest"]["records"] > 10
        assert found["odd"]["errors"] == 0
        assert sum(found["seldom"]["gates"][0]["records"].values()) >= 1


async def test_it_tells_what_the_last_reload_changed_by_rule_and_not_what_only_moved(tmp_path: Path) -> None:
    async with client_of(written(tmp_path)) as client:
        text = FULL.replace("event.amount == 3", "event.amount == 4")
        text = text.replace("  - {name: odd, when: event.nope == 1, to: drop}\n", "").replace("> 5", "> 6")
        orders(tmp_path).write_text("# moved\n\n" + text + "\n")
        before = (await client.get("/api/flows/orders"))["version"]
        await client.post("/api/reload")
        changed = (await client.get("/api/flows/orders"))["changed"]
        assert (changed["added"], changed["removed"], changed["changed"]) == ([], ["odd"], ["parts"])
        assert changed["parts"] == ["let"]
        assert changed["before"] == before
        assert (await client.get("/api/flows/others"))["changed"] is None


FIELDS = """\
flow: orders
from: [orders]
contract: {schema: order.json, sensitive: [event.user.email]}
let: {big: event.amount > 5}
rules: [{name: all, set: {event.user.mail: "${event.user.email}"}, to: out}]
"""
SCHEMA = """{"properties": {"plan": {"enum": ["pro", "free"]}, "amount": {"type": "integer"},
"items": {"type": "array", "items": {"properties": {"a-b": {"type": "boolean"}}}}}}"""


async def test_fields_are_those_of_the_contract_and_those_of_records_that_were_seen(tmp_path: Path) -> None:
    path = project(tmp_path)
    (tmp_path / "rules" / "order.json").write_text(SCHEMA)
    orders_file = tmp_path / "rules" / "orders.yaml"
    orders_file.write_text(FIELDS)
    async with client_of(path) as client:
        await until(lambda: client.daemon.samples.sample("orders"))
        found = {field["path"]: field for field in (await client.get("/api/flows/orders/fields"))["fields"]}
        assert found["event.plan"] == {
            "path": "event.plan", "types": ["string"], "from": ["contract"], "enum": ["free", "pro"],
            "sensitive": False,
        }  # fmt: skip
        assert found['event.items[*]["a-b"]']["from"] == ["contract"]
        assert found["event.amount"]["from"] == ["contract", "traffic"]
        assert found["event.user.id"]["types"] == ["string"]
        assert found["event.user.id"]["enum"] == []
        assert found["event.user.email"]["sensitive"]
        assert not found["event.user.id"]["sensitive"]
        assert found["meta.source"]["from"] == ["traffic"]
        assert found["vars.region"]["from"] == ["vars"]
        assert found["big"]["from"] == ["let"]
        assert (await client.ask("GET", "/api/flows/nope/fields"))[0] == 404
