"""Dead letters whose place is a sink: each arrives there, whatever the sink does, and none goes round in circles."""

from __future__ import annotations

import asyncio
import csv
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from daemons import daemon_of

from connectors import memory
from router import Batch, WriteError
from router.daemon import Daemon
from router.deadletters import DeadLetters
from router.letter import SUMMARY, Letter
from router.replay_jobs import ReplayJobs
from router.state import StateDir
from router.testing import until

CONFIG = """
state_dir: state
http: null
dead_letters: {to: lost}
sources: {orders: {type: memory, channel: orders}}
sinks:
  archive: {type: memory, channel: archive, retry: {attempts: 2, backoff: 1ms}}
  lost: {type: memory, channel: lost, retry: {attempts: 2, backoff: 1ms}}
flows: [orders.yaml]
"""
RULES = "from: [orders]\ncontract: {expect: {positive: event.n > 0}}\nrules: [{name: all, to: archive}]\n"


@pytest.fixture(autouse=True)
def _fresh_channels() -> None:
    memory.forget()


@asynccontextmanager
async def running(folder: Path, text: str = CONFIG, rules: str = RULES) -> AsyncIterator[Daemon]:
    (folder / "orders.yaml").write_text(rules)
    (folder / "sluiceway.yaml").write_text(text)
    async with daemon_of(folder / "sluiceway.yaml") as daemon:
        yield daemon


async def kept(folder: Path) -> list[Letter]:
    with StateDir.visit(folder / "state") as state:
        return [letter async for letter in DeadLetters(state).find()]


def lost() -> list[dict[str, Any]]:
    return [json.loads(value) for value in memory.sink("lost").values]


def given(*values: Any, **columns: Any) -> None:
    batch = memory.records(*values)
    for name, column in columns.items():
        setattr(batch, name, column)
    memory.source("orders").push(batch)


def refuse_all(batch: Batch) -> None:
    raise WriteError(dict.fromkeys(range(len(batch)), "not here"), retryable=False)


async def test_a_letter_goes_to_the_sink_whole(tmp_path: Path) -> None:
    """As JSON with all that is known, under the key of its record, with headers that say what it is about; the state
    folder holds it no longer."""
    memory.sink("archive").on_write = lambda batch: memory.refuse(batch, b'{"n":1}', reason="never")
    async with running(tmp_path) as daemon:
        given(
            {"n": 1},
            b"\xff",
            keys=[b"k1", None],
            headers=[[("h", b"\x00\xff")], None],
            attributes={"topic": ["t", "t"]},
        )
        await until(lambda: len(lost()) == 2)
        await until(
            lambda: (
                daemon.metrics.registry.get_sample_value(
                    "sluiceway_moved_letters_total", {"flow": "orders", "to": "lost"}
                )
                == 2
            )
        )
    by_stage = {letter["stage"]: letter for letter in lost()}
    refused, undecodable = by_stage["sink"], by_stage["decode"]
    assert list(refused)[: len(SUMMARY)] == list(SUMMARY)
    assert (refused["sink"], refused["reason"], refused["detail"], refused["attempts"]) == (
        "archive",
        "refused",
        "never",
        1,
    )
    assert (refused["value"], refused["key"], refused["headers"]) == ('{"n":1}', "k1", [["h", {"base64": "AP8="}]])
    assert (refused["attributes"], refused["out_value"]) == ({"topic": "t"}, '{"n":1}')
    assert (undecodable["value"], "key" in undecodable, "out_value" in undecodable) == (
        {"base64": "/w=="},
        False,
        False,
    )
    for batch in memory.sink("lost").batches:
        for value, key, headers in zip(batch.values, batch.keys or (), batch.headers or (), strict=True):
            letter = json.loads(value)
            assert dict(headers or ()) == {
                f"sluiceway-{name}": letter[name].encode() for name in ("stage", "flow", "reason")
            }
            assert key == (b"k1" if letter["stage"] == "sink" else None)
    assert await kept(tmp_path) == []


async def test_while_the_sink_is_away_letters_wait_in_the_store(tmp_path: Path) -> None:
    """The flow goes on, and when the sink is back each letter arrives once."""
    memory.sink("lost").down = True
    async with running(tmp_path):
        for n in range(30):
            given({"n": -n})
        await until(lambda: len(memory.source("orders").acked) == 30)
        assert len(await kept(tmp_path)) == 30
        memory.sink("lost").down = False
        await until(lambda: len(lost()) == 30)
    assert [json.loads(letter["value"])["n"] for letter in lost()] == [-n for n in range(30)]
    assert await kept(tmp_path) == []


async def test_what_the_sink_refuses_stays_and_makes_no_letter_of_its_own(tmp_path: Path) -> None:
    """It is counted, stays as it was, is tried no more until the daemon starts again, and then goes if it may."""
    sink = memory.sink("lost")
    sink.on_write = lambda batch: memory.refuse(batch, *(value for value in batch.values if b"-7" in value))
    async with running(tmp_path) as daemon:
        given({"n": -7}, {"n": -8})
        await until(
            lambda: daemon.metrics.registry.get_sample_value(
                "sluiceway_stuck_letters_total", {"flow": "orders", "to": "lost"}
            )
        )
        writes = sink.writes
        given({"n": -9})
        await until(lambda: len(lost()) == 2)
        assert sink.writes == writes + 1
    [letter] = await kept(tmp_path)
    assert (letter.value, letter.stage, letter.reason, letter.attempts) == (b'{"n":-7}', "contract", "invalid", 1)
    sink.on_write = None
    async with running(tmp_path):
        await until(lambda: len(lost()) == 3)
    assert await kept(tmp_path) == []


@pytest.mark.parametrize("outcome", ["busy", "crashes", "template"])
async def test_however_the_sink_fails_on_a_letter_it_stays(tmp_path: Path, outcome: str) -> None:
    """Refused for now too often, a connector that crashes, a setting that cannot be filled in."""

    def fail(batch: Batch) -> None:
        if outcome == "crashes":
            raise RuntimeError("no such luck")
        raise WriteError(dict.fromkeys(range(len(batch)), "busy"), retryable=True)

    text = CONFIG
    if outcome == "template":
        text = CONFIG.replace("channel: lost", 'channel: lost, topic: "${event.nothing}"')
    else:
        memory.sink("lost").on_write = fail
    async with running(tmp_path, text) as daemon:
        given({"n": -1})
        await until(
            lambda: daemon.metrics.registry.get_sample_value(
                "sluiceway_stuck_letters_total", {"flow": "orders", "to": "lost"}
            )
        )
    assert [letter.stage for letter in await kept(tmp_path)] == ["contract"]


async def test_a_letter_about_the_sink_itself_stays(tmp_path: Path) -> None:
    """A delivery that the sink refused is not offered to it again in another form."""
    memory.sink("lost").on_write = lambda batch: memory.refuse(batch, b'{"n":1}')
    rules = RULES.replace("to: archive", "to: lost")
    async with running(tmp_path, rules=rules):
        given({"n": 1}, {"n": -1})
        await until(lambda: len(lost()) == 1)
    [letter] = await kept(tmp_path)
    assert (letter.stage, letter.sink) == ("sink", "lost")


async def test_a_flow_may_have_a_sink_of_its_own_and_others_none(tmp_path: Path) -> None:
    """Of a flow that is not named, letters stay in the state folder."""
    text = CONFIG.replace("to: lost", "to: {orders: lost}").replace("flows: [", "flows: [others.yaml, ")
    text = text.replace("sources: {", "sources: {others: {type: memory, channel: others}, ")
    (tmp_path / "others.yaml").write_text(RULES.replace("orders", "others"))
    async with running(tmp_path, text):
        memory.source("others").push(memory.records({"n": -2}))
        given({"n": -1})
        await until(lambda: memory.source("others").acked and lost())
    assert [letter["flow"] for letter in lost()] == ["orders"]
    assert [letter.flow for letter in await kept(tmp_path)] == ["others"]


async def test_the_settings_of_the_sink_see_the_letter(tmp_path: Path) -> None:
    """``event`` is the letter; what the sink says of key and headers itself holds; ``encode`` makes something else of
    it than JSON."""
    text = CONFIG.replace(
        "channel: lost",
        'channel: lost, topic: "dead.${event.flow}", key: "${event.reason}", headers: {a: b}, '
        "encode: {type: csv, columns: [stage, value], header: false}",
    )
    async with running(tmp_path, text):
        given({"n": -1})
        await until(lambda: memory.sink("lost").batches)
    [batch] = memory.sink("lost").batches
    assert (list(batch.settings["topic"]), list(batch.keys or ()), batch.headers) == (
        ["dead.orders"],
        [b"invalid"],
        None,
    )
    assert next(csv.reader([batch.values[0].decode()])) == ["contract", '{"n":-1}']


async def test_what_waits_for_its_replay_is_not_moved(tmp_path: Path) -> None:
    """It goes where its replay leads; what was withdrawn from a replay is moved after all."""
    memory.sink("archive").down = memory.sink("lost").down = True
    (tmp_path / "state").mkdir()
    async with running(tmp_path):
        given({"n": -1}, {"n": -2})
        await until(lambda: memory.source("orders").acked)
    rules = RULES.replace("event.n > 0", "event.n > -2")
    with StateDir.open(tmp_path / "state") as state:
        jobs = ReplayJobs(DeadLetters(state))
        await jobs.request(await jobs.begin(), [1])
        memory.sink("lost").down = False
    async with running(tmp_path, rules=rules):
        await until(lambda: lost())
        memory.sink("archive").down = False
        await until(lambda: memory.sink("archive").values)
    assert [letter["value"] for letter in lost()] == ['{"n":-2}']
    assert memory.sink("archive").values == [b'{"n":-1}']
    assert await kept(tmp_path) == []


async def test_a_full_queue_is_no_reason_to_stay(tmp_path: Path) -> None:
    """With ``when_full: dead_letter`` what finds the sink's queue full is moved later."""
    text = CONFIG.replace("channel: lost", "channel: lost, when_full: dead_letter, queue: {records: 1}")
    rules = RULES.replace("to: archive", "to: lost")
    hang = asyncio.Event()
    sink = memory.sink("lost")

    async def wait(_: Batch) -> None:
        await hang.wait()

    sink.on_write = wait
    async with running(tmp_path, text, rules) as daemon:
        given({"n": 1})
        await until(lambda: sink.writes)
        given({"n": -1})
        await until(lambda: daemon.metrics.registry.get_sample_value("sluiceway_dead_letters_total", CONTRACT))
        await asyncio.sleep(0.1)  # the mover finds the queue full
        hang.set()
        await until(lambda: len(sink.values) == 2)
    assert await kept(tmp_path) == []


CONTRACT = {"flow": "orders", "stage": "contract", "sink": "", "reason": "invalid"}
FILES = """
state_dir: state
http: null
dead_letters: {to: lost}
sources: {orders: {type: file, path: in.ndjson, follow: false}}
sinks:
  archive: {type: file, path: archive.ndjson}
  lost: {type: file, path: lost.ndjson}
flows: [orders.yaml]
"""


def start(folder: Path) -> subprocess.Popen[str]:
    command = [str(Path(sys.executable).with_name("sluiceway")), "run"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def test_a_run_that_ends_has_moved_its_letters(tmp_path: Path) -> None:
    """What a file's last lines became is in the sink when the command returns."""
    (tmp_path / "sluiceway.yaml").write_text(FILES)
    (tmp_path / "orders.yaml").write_text(RULES)
    (tmp_path / "in.ndjson").write_text("".join(f'{{"n":{-n}}}\n' for n in range(3000)))
    with start(tmp_path) as run:
        assert run.wait(60) == 0
    moved = [json.loads(line) for line in (tmp_path / "lost.ndjson").read_text().splitlines()]
    assert [json.loads(letter["value"])["n"] for letter in moved] == [-n for n in range(3000)]
    assert asyncio.run(kept(tmp_path)) == []


def test_killed_at_any_moment_nothing_is_lost(tmp_path: Path) -> None:
    """After some ``kill -9`` every record is in the sink or in the state folder, and in the end all are in the
    sink."""
    (tmp_path / "sluiceway.yaml").write_text(FILES)
    (tmp_path / "orders.yaml").write_text(RULES)
    (tmp_path / "in.ndjson").write_text("".join(f'{{"n":{-n}}}\n' for n in range(6_000)))
    rng, output = random.Random(5), tmp_path / "lost.ndjson"
    for _ in range(4):
        with start(tmp_path) as run:
            written, deadline = output.stat().st_size if output.exists() else 0, time.monotonic() + 20
            while run.poll() is None and time.monotonic() < deadline:
                if output.exists() and output.stat().st_size > written:
                    break
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.4))
            run.send_signal(signal.SIGKILL)
    with start(tmp_path) as run:
        assert run.wait(300) == 0
    assert asyncio.run(kept(tmp_path)) == []
    numbers = [json.loads(json.loads(line)["value"])["n"] for line in output.read_text().splitlines()]
    assert set(numbers) == {-n for n in range(6_000)}
