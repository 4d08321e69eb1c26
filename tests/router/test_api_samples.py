"""One sampled record: why it went where it went, when, and what went out, without what must not be shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from api_daemons import ORDERS, SECRET, Client, client_of, project

from connectors import memory
from router import Batch
from router.errors import NotConnected, Unavailable

OPEN = ORDERS.replace("contract: {sensitive: [event.user.email]}\n", "")
"""The same flow, in which nothing is sensitive."""


@pytest.fixture(autouse=True)
def fresh_channels() -> Iterator[None]:
    """Doubles of a test begin empty, and so do those of the tests that come after these."""
    memory.forget()
    yield
    memory.forget()


def refuse(batch: Batch) -> None:
    """The sink takes nothing, and names what is sensitive."""
    memory.refuse(batch, *batch.values, reason=f"no {SECRET} here")


async def sample(client: Client, **wanted: Any) -> dict[str, Any]:
    """All of the newest sample of a kind that is settled, once there is one."""
    async with asyncio.timeout(15):
        while True:
            samples = (await client.get("/api/flows/orders/samples", **wanted))["samples"]
            if samples and samples[-1]["settled"] is not None:
                whole: dict[str, Any] = await client.get(f"/api/flows/orders/samples/{samples[-1]['id']}")
                return whole
            await asyncio.sleep(0.05)


async def test_a_record_is_told_with_its_explanation_its_times_and_what_went_out(tmp_path: Path) -> None:
    async with client_of(project(tmp_path, orders=OPEN)) as client:
        found = await sample(client, to="keyed")
        assert found["explanation"]["goes_to"][0]["to"] == "keyed"
        assert found["read"] <= found["time"] <= found["settled"]
        assert found["decided_by"] == found["runs"] == found["version"]
        [end] = found["ends"]
        assert end["changed"]
        assert json.loads(end["out"])["contact"] == SECRET


async def test_a_delivery_that_its_sink_refused_is_told_as_a_dead_letter_with_what_the_sink_said(
    tmp_path: Path,
) -> None:
    memory.sink("keyed").on_write = refuse
    async with client_of(project(tmp_path, orders=OPEN)) as client:
        [end] = (await sample(client, to="keyed"))["ends"]
        assert end["became"] == "dead_letter"
        assert end["reason"] == "refused"
        assert SECRET in end["detail"]
        memory.sink("keyed").on_write = None
        async with asyncio.timeout(15):
            while (await sample(client, to="keyed"))["ends"][0]["became"] != "delivered":
                await asyncio.sleep(0.1)
        [end] = (await sample(client, to="dead_letter"))["ends"]
        assert end["became"] == "dead_letter"


@pytest.mark.parametrize(
    "written", [SECRET, quote(SECRET, safe=""), json.dumps(SECRET)], ids=["as it is", "URL", "JSON"]
)
async def test_what_a_sink_said_of_a_record_is_told_without_what_is_sensitive(tmp_path: Path, written: str) -> None:
    def refuse_so(batch: Batch) -> None:
        memory.refuse(batch, *batch.values, reason=f"1 of {written} here")

    memory.sink("keyed").on_write = refuse_so
    async with client_of(project(tmp_path)) as client:
        found = await sample(client, to="keyed")
        assert found["ends"][0]["detail"].replace('"', "") == "1 of *** here"
        assert written not in json.dumps(found, ensure_ascii=False)


async def test_a_delivery_that_took_a_second_try_is_delivered_though_what_the_sink_said_was_masked(
    tmp_path: Path,
) -> None:
    failures = iter([NotConnected(f"lost {SECRET}"), Unavailable(f"busy with {SECRET}")])

    def fail_at_first(_batch: Batch) -> None:
        for failure in failures:
            raise failure

    memory.sink("keyed").on_write = fail_at_first
    async with client_of(project(tmp_path)) as client:
        await sample(client, to="keyed")
        samples = (await client.get("/api/flows/orders/samples", to="keyed"))["samples"]
        assert {end["became"] for found in samples for end in found["ends"]} <= {"delivered", "under_way"}
    assert next(failures, None) is None


async def test_of_a_flow_with_sensitive_fields_no_value_of_them_is_told(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        found = await sample(client, to="keyed")
        assert SECRET not in json.dumps(found)
        assert "out" not in found["ends"][0] or found["ends"][0]["out"] is None
        assert found["explanation"]["goes_to"][0]["to"] == "keyed"


async def test_samples_are_told_by_rule_and_by_end_the_newest_of_them(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        await sample(client, rule="keyed")
        async with asyncio.timeout(15):
            while len((await client.get("/api/flows/orders/samples"))["samples"]) < 5:
                await asyncio.sleep(0.1)
        all_ = (await client.get("/api/flows/orders/samples"))["samples"]
        some = (await client.get("/api/flows/orders/samples", limit=2))["samples"]
        assert [one["id"] for one in some][-1] >= all_[-1]["id"]
        assert len(some) == 2
        assert (await client.get("/api/flows/orders/samples", rule="nope"))["samples"] == []
        assert (await client.get("/api/flows/orders/samples", rule="keyed", to="out"))["samples"] == []


async def test_after_a_reload_a_record_is_explained_by_the_rules_that_run_now(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        found = await sample(client, to="keyed")
        changed = ORDERS.replace('startsWith("ada")', 'startsWith("bob")')
        (tmp_path / "rules" / "orders.yaml").write_text(changed)
        await client.post("/api/reload")
        again = await client.get(f"/api/flows/orders/samples/{found['id']}")
        assert again["decided_by"] == found["decided_by"] != again["runs"]
        assert again["ends"][0]["to"] == "keyed"
        assert again["explanation"]["goes_to"][0]["to"] == "out"


async def test_a_record_that_a_tap_has_shown_can_be_asked_for(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        async with asyncio.timeout(15), client.session.get(f"{client.url}/api/flows/orders/tap") as answer:
            async for line in answer.content:
                if line.startswith(b"data: {") and b'"ends"' in line:
                    told = json.loads(line.removeprefix(b"data: "))
                    break
        found = await client.get(f"/api/flows/orders/samples/{told['id']}")
        assert found["event"] == told["event"]


async def test_a_record_that_is_not_kept_is_not_there(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        for name in ("1", "x", "-1", "9" * 40, "٣"):
            status, _ = await client.ask("GET", f"/api/flows/orders/samples/{name}")
            assert status == 404
