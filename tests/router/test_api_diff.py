"""What a reload would change, asked of a daemon that runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from api_daemons import ORDERS, SECRET, Client, client_of, project


async def flowing(client: Client) -> None:
    """Until there are samples of what goes to a sink, and dead letters."""
    async with asyncio.timeout(10):
        while True:
            samples = (await client.get("/api/flows/orders/samples"))["samples"]
            sinks = {end["to"] for sampled in samples for end in sampled["ends"]}
            if "keyed" in sinks and (await client.get("/api/dead_letters"))["letters"]:
                return
            await asyncio.sleep(0.05)


async def test_samples_go_where_the_files_on_disk_would_send_them_and_nothing_is_taken(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        await flowing(client)
        version = client.daemon.configuration.version
        same = await client.post("/api/diff", flow="orders")
        assert same["records"] > 0
        assert same["moved"] == same["changed"] == 0
        (tmp_path / "rules" / "orders.yaml").write_text("flow: orders\nfrom: [orders]\nrules: [{name: n, to: drop}]\n")
        found = await client.post("/api/diff", on="live", limit=1)
        assert found["moved"] == found["records"] > 0
        assert {move["to"][0] for move in found["moves"]} == {"drop"}
        assert all(len(move["examples"]) == 1 for move in found["moves"])
        assert client.daemon.configuration.version == version == found["old"]["version"] != found["new"]["version"]


async def test_dead_letters_that_would_be_none_are_counted_and_stay(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        await flowing(client)
        await client.post("/api/sources/orders/pause")
        (tmp_path / "rules" / "orders.yaml").write_text("flow: orders\nfrom: [orders]\nrules: [{name: n, to: out}]\n")
        before = (await client.get("/api/dead_letters", limit=500))["letters"]
        found = await client.post("/api/diff", on="dead", flow="orders")
        assert found["healed"] == found["records"] == len(before)
        assert found["still"] == 0
        assert (await client.get("/api/dead_letters", limit=500))["letters"] == before


BARE = ORDERS.replace("contract: {sensitive: [event.user.email]}\n", "")


@pytest.mark.parametrize(("running", "next_one"), [(ORDERS, BARE), (BARE, ORDERS)], ids=["the old", "the new"])
@pytest.mark.parametrize("edit", [("sink: keyed", "sink: out"), ('"${event.contact}"', '"${event.contact}!"')])
async def test_what_one_configuration_marks_as_sensitive_is_shown_on_neither_side(
    tmp_path: Path, running: str, next_one: str, edit: tuple[str, str]
) -> None:
    async with client_of(project(tmp_path, orders=running)) as client:
        await flowing(client)
        text = next_one.replace(*edit).replace("to: dead_letter", "to: drop")
        (tmp_path / "rules" / "orders.yaml").write_text(text)
        for on in ("live", "dead"):
            found = await client.post("/api/diff", on=on, flow="orders", limit=20)
            assert [group["examples"] for group in found["moves"] + found["changes"]]
            assert SECRET not in json.dumps(found)


async def test_faulty_files_are_told_with_every_fault_and_an_unknown_flow_is_none(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        (tmp_path / "rules" / "orders.yaml").write_text("flow: orders\nfrom: [nope]\nrules: [{name: n, to: nowhere}]\n")
        status, told = await client.ask("POST", "/api/diff", json={})
        assert status == 422
        assert len(told["faults"]) >= 2
        assert (await client.ask("POST", "/api/diff", json={"flow": "nope"}))[0] == 404
        assert (await client.ask("POST", "/api/diff", json={"on": "file"}))[0] == 400
