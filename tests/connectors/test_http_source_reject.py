"""The source ``http`` where a flow rejects: the request is told what is wrong with its records, and nothing is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from http_clients import JSON, NDJSON, client, until
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.http import HttpSource
from router import Lag, Rejects, Violation
from router.config import load
from router.daemon import Daemon

VIOLATION = Violation("amount is positive", "/amount", "event.amount > 0 is false")
TOLD = {"check": VIOLATION.check, "place": VIOLATION.place, "message": VIOLATION.message}


def test_it_can_reject() -> None:
    """It has what the router asks for."""
    assert isinstance(HttpSource(HttpSource.Config()), Rejects)


async def test_a_rejected_request_is_told_its_violations_and_the_others_are_not() -> None:
    """By the number of the record in the request; all of its records go, those of others in the batch stay."""
    async with client() as one:
        postings = []
        for n, body in enumerate((b"a1\na2\na3", b"b1", b"c1\nc2")):
            postings.append(one.posting(body, NDJSON))
            await one.arrived((3, 4, 6)[n])
        batch = await one.source.read()
        gone = one.source.reject(batch.token, {5: [VIOLATION], 2: [VIOLATION, VIOLATION], 0: [VIOLATION]})
        assert sorted(gone) == [0, 1, 2, 4, 5]
        error = "{} of {} record(s) not accepted, so nothing of the request was kept"
        assert await postings[0] == (
            422,
            {
                "error": error.format(2, 3),
                "records": [{"record": 0, "violations": [TOLD]}, {"record": 2, "violations": [TOLD, TOLD]}],
            },
        )
        assert await postings[2] == (
            422,
            {"error": error.format(1, 2), "records": [{"record": 1, "violations": [TOLD]}]},
        )
        assert not postings[1].done()
        assert (await one.source.lag())[0].records == 1
        await one.source.ack(batch.token)
        assert await postings[1] == (200, {"accepted": 1})
        assert (await one.source.lag())[0].records == 0


async def test_a_rejected_request_may_be_sent_again_with_its_key() -> None:
    """Nothing of it was kept, not the key either; its repetitions are told the same."""
    headers = {"Idempotency-Key": "k", **NDJSON}
    async with client() as one:
        first = one.posting(b"1", headers)
        batch = await one.source.read()
        again = one.posting(b"1", headers)
        await asyncio.sleep(0.05)
        one.source.reject(batch.token, {0: [VIOLATION]})
        assert [(await posting)[0] for posting in (first, again)] == [422, 422]
        await one.source.ack(batch.token)
        assert await one.accepted(b"1", headers) == [b"1"]


async def test_an_answer_has_no_more_than_so_many_violations() -> None:
    """Of ten thousand records that are wrong, a hundred will do."""
    async with client() as one:
        posting = one.posting(b"\n".join([b"x"] * 10_000))
        batch = await one.source.read()
        one.source.reject(batch.token, {n: [VIOLATION] * 300 for n in range(10_000)})
        status, answer = await posting
        assert status == 422
        assert answer["error"].startswith("10000 of 10000 record(s)")
        assert len(answer["records"]) == len(answer["records"][0]["violations"]) == 100


DAEMON = """
state_dir: state
http: null
sources: {events: {type: http, listen: "127.0.0.1:0"}}
sinks: {out: {type: file, path: out.ndjson}}
flows: [flow.yaml]
"""
FLOW = """
from: events
contract:
  schema: schema.json
  expect: {even is true: event.even == true}
rules: [{name: all, to: out}]
otherwise: {undecodable: reject, invalid: reject}
"""
SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 0}}}


@asynccontextmanager
async def daemon(folder: Path) -> AsyncIterator[tuple[Daemon, str]]:
    """A daemon with that flow, and where to post to."""
    (folder / "sluiceway.yaml").write_text(DAEMON)
    (folder / "flow.yaml").write_text(FLOW)
    (folder / "schema.json").write_text(json.dumps(SCHEMA))
    running = Daemon(load([folder / "sluiceway.yaml"], {}))
    task = asyncio.create_task(running.run())
    try:
        async with asyncio.timeout(30):
            while not (running.pipelines and running.pipelines["events"].connected):
                await asyncio.sleep(0.01)
        source = running.pipelines["events"].source
        assert isinstance(source, HttpSource)
        yield running, source.url
    finally:
        running.stop()
        assert await task


async def test_through_the_daemon_a_request_is_delivered_whole_or_not_at_all(tmp_path: Path) -> None:
    """Contract, expectations and decoding; what is delivered, what is counted, and that there are no dead letters."""
    good, odd, negative, broken = '{"n": 1, "even": true}', '{"n": 2}', '{"n": -1, "even": true}', "{"
    async with daemon(tmp_path) as (running, url), aiohttp.ClientSession() as session:

        async def post(*lines: str) -> tuple[int, Any]:
            async with session.post(url, data="\n".join(lines), headers=NDJSON) as answer:
                return answer.status, await answer.json()

        replies = await asyncio.gather(
            post(good, good), post(good, odd, negative), post(broken), post(good), post(good, broken, good)
        )
        assert [status for status, _ in replies] == [200, 422, 422, 200, 422]
        checks = [
            {
                (record["record"], violation["check"])
                for record in answer["records"]
                for violation in record["violations"]
            }
            for status, answer in replies
            if status == 422
        ]
        assert checks == [
            {(1, "even is true"), (2, "schema/properties/n/minimum")},
            {(0, "undecodable")},
            {(1, "undecodable")},
        ]
        async with session.post(url, data=f"[{good}, {odd}]", headers=JSON) as answer:
            assert answer.status == 422

        def count(name: str, **labels: str) -> float:
            return running.metrics.registry.get_sample_value(f"sluiceway_{name}_total", labels) or 0.0

        assert count("source_records", source="events") == 12
        assert count("rejected_records", flow="flow", source="events") == 9
        assert count("routed_deliveries", flow="flow", sink="out") == 3
        assert count("contract_violations", flow="flow", check="even is true") == 2
        assert count("contract_violations", flow="flow", check="schema/properties/n/minimum") == 1
        assert count("rule_records", flow="flow", rule="all") == 3
    assert (tmp_path / "out.ndjson").read_text() == f"{good}\n" * 3


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=5), min_size=1, max_size=12))
@settings(max_examples=20, deadline=None)
async def test_whatever_is_rejected_the_accounts_add_up(requests: list[list[bool]]) -> None:
    """Of any requests gathered into one batch: those with a bad record are rejected, each answer says how many."""
    async with client() as one:
        postings = []
        total = 0
        for records in requests:
            postings.append(one.posting(b"\n".join(b"%d" % good for good in records), NDJSON))
            total += len(records)
            await one.arrived(total)
        batch = await one.source.read()
        bad = [index for index, value in enumerate(batch.values) if value == b"0"]
        gone = set(one.source.reject(batch.token, {index: [VIOLATION] for index in bad}) if bad else ())
        kept = [value for index, value in enumerate(batch.values) if index not in gone]
        assert kept == [b"1" for records in requests if all(records) for _ in records]
        await one.source.ack(batch.token)
        for records, posting in zip(requests, postings, strict=True):
            status, answer = await posting
            if all(records):
                assert (status, answer) == (200, {"accepted": len(records)})
            else:
                assert (status, len(answer["records"])) == (422, records.count(False))
        await until(_is_empty, one.source)


def _is_empty(lag: Lag) -> bool:
    return lag.records == lag.bytes == 0
