"""Dead letters, counted by what became of them, and explained: over real HTTP, from a daemon that runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from api_daemons import ORDERS, SECRET, Client, client_of, project


async def paused(client: Client, letters: int) -> None:
    """The daemon has so many letters, and no more come."""
    async with asyncio.timeout(20):
        while client.daemon.store.counts().get("orders", 0) < letters:
            await asyncio.sleep(0.05)
        await client.post("/api/sources/orders/pause")
        while (await client.get("/api/sources/orders"))["state"] != "paused":
            await asyncio.sleep(0.05)


async def test_groups_add_up_to_all_letters_and_name_one_of_them(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        await paused(client, 6)
        told = await client.get("/api/dead_letters/groups")
        letters = (await client.get("/api/dead_letters", limit=500))["letters"]
        assert told["left_out"] == 0
        assert sum(group["count"] for group in told["groups"]) == told["letters"] == len(letters)
        assert {group["rule"] for group in told["groups"]} == {"odd", "fails"}
        for group in told["groups"]:
            own = [letter for letter in letters if letter["rule"] == group["rule"]]
            assert group["count"] == len(own)
            assert group["bytes"] == sum(letter["size"] for letter in own)
            assert (group["oldest"], group["newest"]) == (own[0]["time"], own[-1]["time"])
            assert (group["newest_id"], group["detail"]) == (own[-1]["id"], own[-1]["detail"])
        assert SECRET not in json.dumps(told)
        some = await client.get("/api/dead_letters/groups", rule="odd", since="1h")
        assert [group["rule"] for group in some["groups"]] == ["odd"]


async def test_letters_of_two_versions_of_a_flow_are_one_group(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        await paused(client, 2)
        text = ORDERS.replace("name: rest", "name: remains")
        (tmp_path / "rules" / "orders.yaml").write_text(text)
        await client.post("/api/reload")
        before = client.daemon.store.counts()["orders"]
        await client.post("/api/sources/orders/resume")
        await paused(client, before + 4)
        versions = {letter["version"] for letter in (await client.get("/api/dead_letters", limit=500))["letters"]}
        assert len(versions) == 2
        told = await client.get("/api/dead_letters/groups")
        assert len(told["groups"]) == 2


async def test_a_letter_is_explained_by_the_rules_that_run_now(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        await paused(client, 2)
        [odd] = [g for g in (await client.get("/api/dead_letters/groups"))["groups"] if g["rule"] == "odd"]
        path = f"/api/dead_letters/{odd['newest_id']}/explanation"
        told = await client.get(path)
        assert [end["to"] for end in told["goes_to"]] == ["dead_letter"]
        assert SECRET not in json.dumps(told)
        text = ORDERS.replace("event.amount % 50 == 0", "event.amount % 50 == 99")
        (tmp_path / "rules" / "orders.yaml").write_text(text)
        await client.post("/api/reload")
        assert (await client.get(path))["goes_to"][0]["to"] == "keyed"
        for name in ("999999", "x"):
            status, _ = await client.ask("GET", f"/api/dead_letters/{name}/explanation")
            assert status == 404
