"""The stream of how the daemon is: over real HTTP, from a daemon that runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from api_daemons import SECRET, Client, client_of, project
from pydantic import JsonValue

from connectors import memory
from router.api.live import MAX_LISTENERS, SECONDS, Live


@pytest.fixture(autouse=True)
def fresh_channels() -> Iterator[None]:
    """Doubles of a test begin empty, and so do those of the tests that come after these."""
    memory.forget()
    yield
    memory.forget()


async def events(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """What the stream tells, as it comes."""
    async for line in answer.content:
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))


async def told_until(client: Client, holds: Any) -> dict[str, Any]:
    """The first event of which this holds."""
    async with asyncio.timeout(15), client.session.get(f"{client.url}/api/live") as answer:
        assert answer.content_type == "text/event-stream"
        async for event in events(answer):
            if holds(event):
                return event
    raise AssertionError("the stream has ended")


async def test_it_tells_of_every_component_with_what_was_counted(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:

        def is_settled(event: Any) -> bool:
            """Letters are written, and records delivered, a little after they were decided about."""
            flow = event["flows"]["orders"]
            return bool(flow["dead_letters"] >= flow["rule_errors"] > 0 and event["sinks"]["keyed"]["records"])

        seen = await told_until(client, is_settled)
        Live.model_validate(seen)
        assert seen["sources"]["orders"]["records"] > 0
        assert seen["sources"]["orders"]["flow"] == "orders"
        flow = seen["flows"]["orders"]
        assert set(flow["to"]) == {"keyed", "out"}
        assert SECRET not in json.dumps(seen)


async def test_who_begins_to_listen_later_is_told_at_once_what_failed_in_the_last_minute(tmp_path: Path) -> None:
    memory.sink("out").on_write = lambda batch: memory.refuse(batch, *batch.values, reason="read-only")
    async with client_of(project(tmp_path)) as client:
        events: list[JsonValue] = [{"n": number} for number in range(10)]
        memory.source("others").push(memory.records(*events))
        async with asyncio.timeout(15):
            while client.daemon.store.counts().get("others") != 10:
                await asyncio.sleep(0.02)
        await asyncio.sleep(SECONDS)  # of an event that is made already, all may be told
        told = await told_until(client, lambda _: True)
        assert told["sinks"]["out"]["minute"]["letters"] >= 10
        assert told["sinks"]["keyed"]["minute"] == {"retries": 0, "letters": 0}
        assert told["flows"]["others"]["minute"] == {"dead_letters": 10, "rule_errors": 0}


async def test_all_who_listen_in_one_second_are_told_the_same(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        seen = await asyncio.gather(*[told_until(client, lambda _: True) for _ in range(8)])
        assert len({event["time"] for event in seen}) <= 2


async def test_there_are_so_many_listeners_at_most_and_one_that_goes_makes_room(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        open_ = [await client.session.get(f"{client.url}/api/live") for _ in range(MAX_LISTENERS)]
        status, told = await client.ask("GET", "/api/live")
        assert status == 429, told
        open_.pop().close()
        async with asyncio.timeout(15):
            while True:
                async with client.session.get(f"{client.url}/api/live") as answer:
                    if answer.status == 200:
                        break
                await asyncio.sleep(0.1)
        for answer in open_:
            answer.close()


async def test_a_daemon_that_stops_ends_the_stream(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        answer = await client.session.get(f"{client.url}/api/live")
        await anext(events(answer))
        client.daemon.stop()
        async with asyncio.timeout(15):
            async for _ in answer.content:
                pass
