"""Reloads of a running daemon: what changes, what goes on undisturbed, what is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from daemons import daemon_of
from pydantic import JsonValue

from connectors import memory
from router.batch import Batch
from router.daemon import Daemon
from router.testing import until
from rules.faults import Refused

CONFIG = """
http: null
sources:
  orders: {type: memory, channel: orders}
  other: {type: memory, channel: other}
sinks:
  vip: {type: memory, channel: vip, retry: {backoff: 1ms}}
  archive: {type: memory, channel: archive, retry: {backoff: 1ms}}
flows: [rules/*.yaml]
"""
ORDERS = """
from: [orders]
rules:
  - {name: big, when: event.amount > 500, to: vip}
  - {name: rest, to: archive}
tests:
  - {given: [{event: {amount: 900}}], then: {vip: 1}}
"""
OTHER = "from: [other]\nrules: [{to: archive}]\n"


class Files:
    """A configuration that is edited while a daemon runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemon = folder / "sluiceway.yaml"
        (folder / "rules").mkdir()
        self.write(CONFIG, orders=ORDERS, other=OTHER)

    def write(self, daemon: str | None = None, **rules: str) -> None:
        if daemon is not None:
            self.daemon.write_text(daemon)
        for name, text in rules.items():
            (self.folder / f"rules/{name}.yaml").write_text(text)

    def edit(self, before: str, after: str, name: str = "") -> None:
        file = self.folder / f"rules/{name}.yaml" if name else self.daemon
        text = file.read_text()
        assert before in text
        file.write_text(text.replace(before, after))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    memory.forget()
    return Files(tmp_path)


def push(channel: str, *amounts: int) -> None:
    values: list[JsonValue] = [{"amount": amount} for amount in amounts]
    memory.source(channel).push(memory.records(*values))


def amounts(channel: str) -> list[int]:
    return [int(value.removeprefix(b'{"amount":').removesuffix(b"}")) for value in memory.sink(channel).values]


def sample(daemon: Daemon, name: str, **labels: str) -> float | None:
    return daemon.metrics.registry.get_sample_value(f"sluiceway_{name}", labels)


def held(channel: str) -> asyncio.Event:
    """Writes to this sink wait until the event is set."""
    gate = asyncio.Event()

    async def wait(_: Batch) -> None:
        await gate.wait()

    memory.sink(channel).on_write = wait
    return gate


async def settled(channel: str, batches: int) -> None:
    await until(lambda: len(memory.source(channel).acked) == batches)


async def test_rules_change_from_the_next_batch_on_and_no_connection_is_touched(files: Files) -> None:
    async with daemon_of(files.daemon) as daemon:
        push("orders", 900, 100)
        await settled("orders", 1)
        files.write(orders=ORDERS.replace("> 500", "> 50"))
        before = daemon.configuration.version
        reloaded = await daemon.reload("test")
        push("orders", 101)
        await settled("orders", 2)
        assert amounts("vip") == [900, 101]
        assert amounts("archive") == [100]
        for connector in (memory.source("orders"), memory.source("other"), memory.sink("vip"), memory.sink("archive")):
            assert (connector.opens, connector.closes) == (1, 0)
        assert reloaded.as_json() == {
            "version": daemon.configuration.version,
            "previous": before,
            "cause": "test",
            "changes": {"flows": {"added": (), "removed": (), "changed": ("orders",)}},
            "warnings": [],
            "taken": None,
        }
        assert sample(daemon, "config_info", version=before) is None
        assert sample(daemon, "config_info", version=reloaded.version) == 1
        flow = next(flow for flow in daemon.configuration.flows if flow.name == "orders")
        assert sample(daemon, "flow_info", flow="orders", version=flow.version) == 1
        shown = daemon.metrics.page()[0].decode()
        assert shown.count("sluiceway_flow_info{") == 2


async def test_vars_that_a_flow_reads_are_part_of_it_and_of_its_version(files: Files) -> None:
    files.write(CONFIG + "vars: {high: 500, other: 1}\n", orders=ORDERS.replace("> 500", "> vars.high"))
    async with daemon_of(files.daemon) as daemon:

        def versions() -> dict[str, str]:
            return {flow.name: flow.version for flow in daemon.configuration.flows}

        before = versions()
        files.edit("high: 500", "high: 50")
        reloaded = await daemon.reload("test")
        now = versions()
        assert (reloaded.flows.changed, reloaded.settings.changed) == (("orders",), ("vars",))
        assert (now["orders"] == before["orders"], now["other"] == before["other"]) == (False, True)
        assert sample(daemon, "flow_info", flow="orders", version=now["orders"]) == 1
        assert (daemon.changes["orders"].changed, daemon.changes["orders"].parts) == ((), ("vars",))
        files.edit("other: 1", "other: 2")
        assert (await daemon.reload("test")).flows.changed == ()
        assert versions() == now


@pytest.mark.parametrize(
    ("before", "after", "name", "what"),
    [
        ("to: vip", "to: vips", "orders", "there is no sink `?vips"),
        ("{vip: 1}", "{archive: 1}", "orders", "the test `.*` fails"),
        ("type: memory, channel: vip", "type: memory, chanel: vip", "", "chanel"),
        ("http: null", "http: {listen: '127.0.0.1:0'}", "", "`http` cannot change while the daemon runs"),
        ("http: null", "http: null\nstate_dir: other", "", "`state_dir` cannot change while the daemon runs"),
    ],
)
async def test_a_faulty_configuration_leaves_the_running_one(
    files: Files, before: str, after: str, name: str, what: str
) -> None:
    async with daemon_of(files.daemon) as daemon:
        version = daemon.configuration.version
        files.edit(before, after, name)
        with pytest.raises(Refused, match=what):
            await daemon.reload("test")
        push("orders", 900)
        await settled("orders", 1)
        assert amounts("vip") == [900]
        assert daemon.configuration.version == version
        assert sample(daemon, "config_last_reload_successful") == 0
        assert sample(daemon, "config_reloads_total", result="refused") == 1
        told = daemon.status()["config"]["last_reload"]  # type: ignore[index]
        assert not told["successful"]
        assert told["faults"]
        files.edit(after, before, name)
        await daemon.reload("test")
        assert sample(daemon, "config_last_reload_successful") == 1
        assert sample(daemon, "config_reloads_total", result="taken") == 1


async def test_of_the_connectors_only_those_that_changed_are_opened_again(files: Files) -> None:
    async with daemon_of(files.daemon) as daemon:
        push("orders", 900, 1)
        await settled("orders", 1)
        files.edit("type: memory, channel: vip", "type: memory, channel: vip2")
        files.edit("channel: other}", "channel: other2}")
        reloaded = await daemon.reload("test")
        assert reloaded.sinks.changed == ("vip",)
        assert reloaded.sources.changed == ("other",)
        push("orders", 901, 2)
        push("other2", 3)
        await settled("orders", 2)
        await settled("other2", 1)
        assert (amounts("vip"), amounts("vip2"), amounts("archive")) == ([900], [901], [1, 2, 3])
        assert memory.sink("vip").closes == 1
        assert memory.source("other").closes == 1
        assert (memory.source("orders").closes, memory.sink("archive").closes) == (0, 0)


async def test_a_reload_repairs_the_address_of_a_sink_whose_queue_is_full(files: Files) -> None:
    files.edit("channel: vip,", "channel: wrong, queue: {records: 3},")
    memory.sink("wrong").down = True
    async with daemon_of(files.daemon) as daemon:
        for amount in range(501, 520):
            push("orders", amount)
        await until(lambda: daemon.outlets["vip"].status()["queue"]["waiting"])  # type: ignore[index]
        files.edit("channel: wrong,", "channel: vip,")
        await daemon.reload("test")
        await settled("orders", 19)
        assert amounts("vip") == [*range(501, 520)]
        assert memory.sink("wrong").values == []
        assert memory.source("orders").closes == 0


async def test_sources_sinks_and_flows_come_and_go(files: Files) -> None:
    async with daemon_of(files.daemon) as daemon:
        files.edit("  other: {type: memory, channel: other}", "  new: {type: memory, channel: new}")
        files.edit("  vip: {type: memory, channel: vip,", "  fresh: {type: memory, channel: fresh,")
        files.write(orders=OTHER.replace("other", "orders"), new="from: [new]\nrules: [{to: fresh}]\n")
        (files.folder / "rules/other.yaml").unlink()
        reloaded = await daemon.reload("test")
        assert (reloaded.sources.added, reloaded.sources.removed) == (("new",), ("other",))
        assert (reloaded.sinks.added, reloaded.sinks.removed) == (("fresh",), ("vip",))
        assert (reloaded.flows.added, reloaded.flows.removed) == (("new",), ("other",))
        push("orders", 900)
        push("new", 1)
        await settled("orders", 1)
        await settled("new", 1)
        assert (amounts("archive"), amounts("fresh"), amounts("vip")) == ([900], [1], [])
        await until(lambda: set(daemon.intakes) == {"orders", "new"})
        await until(lambda: memory.sink("vip").closes)
        assert memory.source("other").closes == 1
        assert memory.sink("archive").closes == 0
        await until(lambda: set(daemon.status()["sinks"]) == {"archive", "fresh"})  # type: ignore[call-overload]
        gone = ('source="other"', 'sink="vip"', 'flow="other"', 'name="vip"', 'rule="big"')
        await until(lambda: not any(label in daemon.metrics.page()[0].decode() for label in gone))


async def test_a_source_moves_to_another_flow_without_being_closed(files: Files) -> None:
    async with daemon_of(files.daemon) as daemon:
        files.write(orders=ORDERS.replace("[orders]", "[other]"), other=OTHER.replace("[other]", "[orders]"))
        await daemon.reload("test")
        push("orders", 900)
        push("other", 901)
        await settled("orders", 1)
        await settled("other", 1)
        assert (amounts("archive"), amounts("vip")) == ([900], [901])
        assert (memory.source("orders").closes, memory.source("other").closes) == (0, 0)


async def test_a_paused_source_stays_paused_across_a_reload_even_of_its_own_settings(files: Files) -> None:
    async with daemon_of(files.daemon) as daemon:
        await daemon.pause("orders")
        await daemon.pause("other")
        files.edit("channel: other}", "channel: other2}")
        await daemon.reload("test")
        push("orders", 1)
        push("other2", 2)
        await until(lambda: [intake.state for intake in daemon.intakes.values()] == ["paused", "paused"])
        assert memory.sink("archive").values == []
        await daemon.resume("orders")
        await daemon.resume("other")
        await settled("orders", 1)
        await settled("other2", 1)
        assert sorted(amounts("archive")) == [1, 2]


async def test_a_sink_that_works_is_drained_before_another_takes_its_place(files: Files) -> None:
    gate = held("vip")
    async with daemon_of(files.daemon) as daemon:
        for amount in range(501, 505):
            push("orders", amount)
        await until(lambda: daemon.pipelines["orders"].unsettled_records == 4)
        files.edit("channel: vip,", "channel: vip2,")
        await daemon.reload("test")
        push("orders", 505)
        await until(lambda: daemon.pipelines["orders"].unsettled_records == 5)
        gate.set()
        await settled("orders", 5)
        assert (amounts("vip"), amounts("vip2")) == ([501, 502, 503, 504], [505])


async def test_what_waits_for_a_sink_that_is_down_and_removed_goes_where_the_new_rules_say(files: Files) -> None:
    files.edit("channel: vip,", "channel: vip, queue: {records: 2},")
    memory.sink("vip").down = True
    async with daemon_of(files.daemon) as daemon:
        for amount in range(501, 510):
            push("orders", amount)
        await until(lambda: daemon.outlets["vip"].status()["queue"]["waiting"])  # type: ignore[index]
        files.edit("  vip: {type: memory, channel: vip, queue: {records: 2}, retry: {backoff: 1ms}}\n", "")
        files.write(orders=OTHER.replace("other", "orders"))
        await daemon.reload("test")
        await settled("orders", 9)
        assert amounts("archive")[-9:] == [*range(501, 510)]
        assert memory.sink("vip").values == []
        await until(lambda: "vip" not in daemon.status()["sinks"])  # type: ignore[operator]


async def test_what_cannot_be_read_again_becomes_dead_letters_when_its_sink_is_removed(files: Files) -> None:
    files.edit("channel: orders}", "channel: orders, replays: false}")
    memory.sink("vip").down = True
    async with daemon_of(files.daemon) as daemon:
        push("orders", 501, 502)
        await until(lambda: daemon.outlets["vip"].status()["queue"]["records"])  # type: ignore[index]
        files.edit("  vip: {type: memory, channel: vip, retry: {backoff: 1ms}}\n", "")
        files.write(orders=OTHER.replace("other", "orders"))
        await daemon.reload("test")
        await settled("orders", 1)
        letters = [letter async for letter in daemon.store.find()]
        assert [(letter.sink, letter.reason, letter.value) for letter in letters] == [
            ("vip", "sink_removed", b'{"amount":501}'),
            ("vip", "sink_removed", b'{"amount":502}'),
        ]
        push("orders", 503)
        await settled("orders", 2)
        assert amounts("archive") == [503]


async def test_a_removed_sink_that_comes_back_while_it_is_drained_goes_on_in_order(files: Files) -> None:
    gate = held("vip")
    async with daemon_of(files.daemon) as daemon:
        push("orders", 501)
        push("orders", 502)
        await until(lambda: daemon.outlets["vip"].status()["queue"]["records"] == 2)  # type: ignore[index]
        text = files.daemon.read_text()
        files.edit("  vip: {type: memory, channel: vip, retry: {backoff: 1ms}}\n", "")
        files.write(orders=OTHER.replace("other", "orders"))
        await daemon.reload("test")
        push("orders", 600)
        files.write(text, orders=ORDERS)
        await daemon.reload("test")
        push("orders", 503)
        await until(lambda: daemon.outlets["vip"].status()["queue"]["records"] == 3)  # type: ignore[index]
        gate.set()
        await settled("orders", 4)
        assert amounts("vip") == [501, 502, *([600] if 600 in amounts("vip") else []), 503]
        await daemon.reload("test")
        assert "vip" in daemon.status()["sinks"]  # type: ignore[operator]


async def test_policies_and_gates_change_and_what_is_the_same_keeps_its_state(files: Files) -> None:
    rules = "from: [orders]\nrules:\n- name: first\n  dedupe: {key: event.amount, within: 1h}\n  to: archive\n"
    files.write(orders=rules)
    async with daemon_of(files.daemon) as daemon:
        push("orders", 1, 2, 1)
        await settled("orders", 1)
        more = "rules:\n- {name: big, when: event.amount > 2, to: vip, continue: true}\n"
        files.write(orders=rules.replace("rules:\n", more))
        files.edit("channel: archive, retry: {backoff: 1ms}", "channel: archive, batch: {records: 1}")
        reloaded = await daemon.reload("test")
        assert reloaded.sinks.changed == ("archive",)
        push("orders", 2, 3)
        await settled("orders", 2)
        assert amounts("archive") == [1, 2, 3]
        assert memory.sink("archive").closes == 0
        assert daemon.outlets["archive"].policy.batch_records == 1  # type: ignore[union-attr]
        files.write(orders=rules.replace("1h", "2h"))
        await daemon.reload("test")
        push("orders", 2)
        await settled("orders", 3)
        assert amounts("archive") == [1, 2, 3, 2]


async def test_tables_variables_secrets_and_letters_are_those_of_the_new_configuration(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files.folder / "names.csv").write_text("id,name\n1,one\n")
    tables = "vars: {low: 1}\ntables: {names: {type: csv, path: names.csv, key: id, value: name}}\n"
    files.write(CONFIG + tables, orders=OTHER.replace("other", "orders"))
    rules = "from: [other]\nrules:\n- {when: event.amount > vars.low, to: [{sink: archive, topic: "
    rules += "\"${lookup('names', event.amount).orValue('none')}\"}]}\n- {to: vip}\n"
    files.write(other=rules)
    keys: list[object] = []
    memory.sink("archive").on_write = lambda batch: keys.extend(batch.settings["topic"])
    async with daemon_of(files.daemon) as daemon:
        push("other", 1, 2)
        await settled("other", 1)
        (files.folder / "names.csv").write_text("id,name\n1,one\n2,two\n")
        monkeypatch.setenv("SLUICEWAY_TEST_TOKEN", "a-new-secret")
        files.edit("{low: 1}", "{low: 0}\nsecrets: {token: '${env:SLUICEWAY_TEST_TOKEN}'}")
        files.edit("flows:", "dead_letters: {to: vip}\nflows:")
        reloaded = await daemon.reload("test")
        assert not reloaded.tables
        push("other", 1, 2)
        memory.source("other").push(memory.records("no json"))
        await settled("other", 3)
        assert keys == ["none", "one", "two"]
        assert daemon.masked("it is a-new-secret") == "it is ***"
        await until(lambda: any(b"undecodable" in value for value in memory.sink("vip").values))
        (files.folder / "names.csv").write_text("id,nam\n1,one\n")
        with pytest.raises(Refused, match="table `names` cannot be loaded"):
            await daemon.reload("test")
        push("other", 2)
        await settled("other", 4)
        assert keys[-1] == "two"


async def test_a_model_beside_the_daemons_file_is_imported_anew_when_it_has_changed(files: Files) -> None:
    model = "from pydantic import BaseModel\n\n\nclass Order(BaseModel):\n    amount: %s\n"
    module = files.folder / "reloaded_models.py"
    module.write_text(model % "int")
    files.write(CONFIG + "models: {order: 'reloaded_models:Order'}\n")
    files.write(orders="from: [orders]\ncontract: {model: order}\nrules: [{to: archive}]\n")
    async with daemon_of(files.daemon) as daemon:
        memory.source("orders").push(memory.records({"amount": "many"}))
        await settled("orders", 1)
        assert memory.sink("archive").values == []
        module.write_text(model % "str  # whatever it says")
        await daemon.reload("test")
        memory.source("orders").push(memory.records({"amount": "many"}))
        await settled("orders", 2)
        assert memory.sink("archive").values == [b'{"amount":"many"}']
