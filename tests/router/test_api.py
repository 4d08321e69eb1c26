"""The admin API of a daemon that runs: what it tells, and what it does."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from api_daemons import ORDERS, Client, client_of, project

from router.api import ENDPOINTS
from router.api.endpoint import Said
from router.api.openapi import document
from router.api.status import Status


async def some_letters(client: Client, many: int = 2) -> list[dict[str, Any]]:
    async with asyncio.timeout(10):
        while True:
            letters: list[dict[str, Any]] = (await client.get("/api/dead_letters"))["letters"]
            if len(letters) >= many:
                return letters
            await asyncio.sleep(0.05)


def extras(said: Any) -> list[str]:
    """The fields of an answer that its model does not describe."""
    if isinstance(said, Said):
        inner = [extra for value in said.__dict__.values() for extra in extras(value)]
        return [f"{type(said).__name__}.{name}" for name in said.model_extra or {}] + inner
    if isinstance(said, dict):
        return [extra for value in said.values() for extra in extras(value)]
    return [extra for value in said for extra in extras(value)] if isinstance(said, list) else []


async def test_status_tells_what_the_document_says_and_no_more(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        status = await client.get("/api/status")
        assert extras(Status.model_validate(status)) == []
        assert status["sources"]["orders"]["flow"] == "orders"
        assert (await client.get("/api/sources"))["sources"].keys() == {"orders", "others"}
        assert (await client.get("/api/sinks/out"))["type"] == "memory"
        flow = await client.get("/api/flows/orders")
        assert [rule["name"] for rule in flow["detail"]] == ["contact", "odd", "fails", "keyed", "rest"]
        for path in ("/api/sources/nope", "/api/sinks/nope", "/api/flows/nope", "/api/nope", "/api/dead_letters/x"):
            assert (await client.ask("GET", path))[0] == 404


async def test_dead_letters_are_filtered_paged_shown_and_purged(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        await some_letters(client, 4)
        await client.post("/api/sources/orders/pause")
        every = (await client.get("/api/dead_letters", limit=500))["letters"]
        seen, after = [], 0
        while True:
            page = await client.get("/api/dead_letters", limit=1, after=after)
            seen += [letter["id"] for letter in page["letters"]]
            after = page["next"]
            if after is None:
                break
        assert seen == [letter["id"] for letter in every]
        odd = await client.get("/api/dead_letters", rule="odd", flow="orders")
        assert {letter["rule"] for letter in odd["letters"]} == {"odd"}
        when = await client.get("/api/dead_letters", when='rule == "odd" && event.amount >= 50')
        assert when["letters"]
        assert all(json.loads(letter["value"])["amount"] >= 50 for letter in when["letters"])
        assert (await client.get("/api/dead_letters", since="1h"))["letters"]
        assert not (await client.get("/api/dead_letters", until="1h"))["letters"]
        shown = await client.get(f"/api/dead_letters/{seen[0]}")
        assert shown["size"] > 20
        for bad in ({"when": "event."}, {"when": "nope > 1"}, {"stage": "nope"}, {"since": "nope"}, {"nope": "1"}):
            assert (await client.ask("GET", "/api/dead_letters", params=bad))[0] == 400, bad
        assert (await client.ask("POST", "/api/dead_letters/purge", json={}))[0] == 400
        assert (await client.post("/api/dead_letters/purge", id=seen[:1])) == {"purged": 1}
        assert (await client.ask("GET", f"/api/dead_letters/{seen[0]}"))[0] == 404
        assert (await client.post("/api/dead_letters/purge", all=True)) == {"purged": len(seen) - 1}


async def test_a_replay_is_asked_for_and_followed_to_its_end(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        letters = await some_letters(client, 2)
        await client.post("/api/sources/orders/pause")
        assert (await client.ask("POST", "/api/dead_letters/replay", json={}))[0] == 400
        (tmp_path / "rules" / "orders.yaml").write_text(ORDERS.replace("to: dead_letter", "to: out"))
        assert "orders" in (await client.post("/api/reload"))["changes"]["flows"]["changed"]
        job = await client.post("/api/dead_letters/replay", rule=["odd"])
        assert job["requested"] >= 1
        async with asyncio.timeout(10):
            while job["waiting"]:
                await asyncio.sleep(0.05)
                job = await client.get(f"/api/dead_letters/replays/{job['job']}")
        assert job["delivered"] == job["requested"]
        assert (await client.ask("GET", "/api/dead_letters/replays/999"))[0] == 404
        slow = await client.post("/api/dead_letters/replay", rule=["fails"], rate=0.001)
        left = await client.post(f"/api/dead_letters/replays/{slow['job']}/withdraw")
        assert left["gone"] + left["again"] + left["waiting"] == slow["requested"]
        assert letters
        async with asyncio.timeout(10):
            while not (ends := await ends_of_replays(client)) or ends[-1]["job"] != slow["job"]:
                await asyncio.sleep(0.05)
        assert [end["job"] for end in ends] == [job["job"], slow["job"]]
        assert ends[0] == {name: job[name] for name in ends[0] if name != "step"} | {"step": "ended"}


async def ends_of_replays(client: Client) -> list[Any]:
    told = await client.get("/api/audit", action="replay")
    return [entry["detail"] for entry in told["entries"] if entry["detail"]["step"] == "ended"]


async def test_a_source_is_paused_and_resumed_and_files_are_taken_over_or_refused(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        assert (await client.post("/api/sources/orders/pause"))["state"] in ("pausing", "paused")
        await client.post("/api/sources/orders/resume")
        async with asyncio.timeout(10):
            while (await client.get("/api/sources/orders"))["state"] != "running":
                await asyncio.sleep(0.05)
        assert (await client.ask("POST", "/api/sources/nope/pause", json={}))[0] == 404
        before = (await client.get("/api/status"))["config"]["version"]
        (tmp_path / "rules" / "others.yaml").write_text("from: [others]\nrules: [{to: nope}]\n")
        status, told = await client.ask("POST", "/api/reload", json={})
        assert status == 422
        assert told["faults"][0]["line"] == 2
        assert "there is no sink" in told["faults"][0]["what"]
        assert (await client.get("/api/status"))["config"]["version"] == before


async def events(client: Client, path: str, many: int, **query: Any) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    async with asyncio.timeout(10), client.session.get(client.url + path, params=query) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        while len(found) < many:
            name = (await answer.content.readline()).decode()
            if name.startswith("event: "):
                data = (await answer.content.readline()).decode()
                found.append((name.removeprefix("event: ").strip(), json.loads(data.removeprefix("data: "))))
    return found


async def test_a_tap_shows_records_with_their_decision_as_they_come(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        some = await events(client, "/api/flows/orders/tap", 5, where="event.amount % 2 == 0 && vars.region == 'eu'")
        records = [data for name, data in some if name == "record"]
        assert records
        assert all(record["event"]["amount"] % 2 == 0 for record in records)
        assert {end["to"] for record in records for end in record["ends"]} <= {"keyed", "dead_letter"}
        some = await events(client, "/api/flows/orders/tap", 3, rate=1)
        skipped = [data["records"] for name, data in some if name == "skipped"]
        assert sum(skipped) > 50
        for bad in ({"where": "event."}, {"where": "attempts > 1"}, {"rate": "0"}, {"rate": "1e9"}):
            assert (await client.ask("GET", "/api/flows/orders/tap", params=bad))[0] == 400
        assert (await client.ask("GET", "/api/flows/nope/tap"))[0] == 404


async def test_a_tap_ends_with_the_daemon_and_makes_room_when_it_is_left(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        url = client.url + "/api/flows/orders/tap"
        taps = [await client.session.get(url) for _ in range(8)]
        assert (await client.ask("GET", "/api/flows/orders/tap"))[0] == 429
        taps.pop().close()
        async with asyncio.timeout(10):
            while not (again := await client.session.get(url)).ok:
                again.close()
                await asyncio.sleep(0.1)
        taps.append(again)
    for tap in taps:
        tap.close()


async def test_samples_are_there_with_nobody_looking(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        async with asyncio.timeout(10):
            while not (samples := (await client.get("/api/flows/orders/samples"))["samples"]):
                await asyncio.sleep(0.05)
        assert samples[0]["event"]["type"] == "order"
        assert samples[0]["ends"]


async def test_eval_and_explain_answer_and_are_bounded(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        assert (await client.post("/api/eval", expression="event.a + 1", event={"a": 1}))["value"] == 2
        assert (await client.post("/api/eval", expression="event.b", event={}))["missing"] is True
        status, told = await client.ask("POST", "/api/eval", json={"expression": "1 +"})
        assert (status, told["faults"][0]["file"]) == (422, "expression")
        bomb = "lists.range(100000).map(x, lists.range(1000).map(y, y))"
        assert "steps" in (await client.post("/api/eval", expression=bomb))["error"]
        assert (await client.ask("POST", "/api/eval", json={"expression": "1" * 20_000}))[0] == 400
        told = await client.post("/api/explain", flow="others", value={"n": 1})
        assert told["goes_to"][0]["to"] == "out"
        assert (await client.post("/api/explain", flow="others", text="["))["goes_to"][0]["reason"] == "undecodable"
        assert (await client.ask("POST", "/api/explain", json={"flow": "nope"}))[0] == 404
        assert (await client.ask("POST", "/api/explain", json={"flow": "others", "source": "orders"}))[0] == 400


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("/api/explain", {"flow": "orders", "value": {}, "text": "{}"}, "given as value and as text"),
        ("/api/explain", {"flow": "orders", "text": "{}", "base64": "e30="}, "given as text and as base64"),
        ("/api/explain", {"flow": "orders"}, "give a record"),
        ("/api/eval", {"expression": "event", "event": "\ud800"}, "half of a surrogate pair"),
        ("/api/dead_letters/purge", {"when": "1"}, "when: `1` is an int, never true or false"),
        ("/api/dead_letters/purge", {"when": "detail"}, "when: `detail` is a string, never true or false"),
        ("/api/flows/orders/tap", {"where": "[true]"}, "where: `[true]` is a list"),
    ],
)
async def test_what_means_nothing_is_refused_with_the_reason(tmp_path: Path, path: str, body: Any, why: str) -> None:
    async with client_of(project(tmp_path)) as client:
        tap = path.endswith("tap")
        status, told = await client.ask("GET" if tap else "POST", path, **{"params" if tap else "json": body})
        assert (status, why in told["error"]) == (400, True), told


async def test_what_may_be_a_condition_or_null_is_taken(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        assert (await client.ask("GET", "/api/dead_letters", params={"when": "event.flag"}))[0] == 200
        for record in ({"value": None}, {"value": None, "text": "{}"}):
            assert (await client.post("/api/explain", flow="orders", **record))["flow"] == "orders"
        for page in ("", "/samples", "/tap"):
            status, told = await client.ask("GET", f"/api/flows/ordrs{page}")
            assert (status, told["error"]) == (404, "there is no flow 'ordrs'; did you mean `orders`?")


async def test_a_reload_that_finds_nothing_new_says_when_the_configuration_was_taken(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        assert (await client.post("/api/reload"))["taken"] is None
        (tmp_path / "rules" / "orders.yaml").write_text(ORDERS.replace("to: dead_letter", "to: out"))
        told = str(await client.daemon.reload("files"))
        assert told == "flows changed orders"
        for _ in range(2):
            assert (await client.post("/api/reload"))["taken"]["cause"] == "files"


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_every_endpoint_is_in_the_document_with_every_answer(endpoint: Any) -> None:
    operation = document(ENDPOINTS)["paths"][endpoint.path][endpoint.method.lower()]
    assert operation["responses"].keys() == {"200", *map(str, endpoint.all_failures)}


async def test_a_diff_says_what_a_reload_would_do_and_shows_nothing_sensitive(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        await some_letters(client)
        rules = ORDERS.replace('key: "${event.contact}"', "key: same").replace("[{sink: keyed", "[out, {sink: keyed")
        (tmp_path / "rules" / "orders.yaml").write_text(rules.replace("to: dead_letter", "to: out"))
        for on in ("live", "dead"):
            told = await client.post("/api/diff", on=on)
            assert told["records"] >= 1
            assert told["moved"] >= 1
            assert "ada@" not in json.dumps(told)
        (tmp_path / "rules" / "orders.yaml").write_text("from: [orders]\n")
        assert (await client.ask("POST", "/api/diff", json={}))[0] == 422


async def test_what_is_ordered_is_in_the_audit_before_it_is_done(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        await client.post("/api/sources/orders/pause")
        await client.post("/api/dead_letters/purge", all=True)
        await client.post("/api/reload")
        page = await client.get("/api/audit", limit=2)
        assert [entry["action"] for entry in page["entries"]] == ["start", "pause"]
        assert page["entries"][1]["actor"] == "http 127.0.0.1"
        assert page["entries"][1]["detail"]["source"] == "orders"
        rest = await client.get("/api/audit", after=page["next"])
        assert [entry["action"] for entry in rest["entries"]] == ["purge", "purge", "reload"]
        assert rest["entries"][0]["previous"] == page["entries"][1]["hash"]
        assert rest["next"] is None
        assert len((await client.get("/api/audit", action="pause", since="1h"))["entries"]) == 1
        last = await client.get("/api/audit", newest="true", limit=2)
        assert [entry["action"] for entry in last["entries"]] == ["reload", "purge"]
        older = await client.get("/api/audit", newest="true", before=last["next"])
        assert [entry["action"] for entry in older["entries"]] == ["purge", "pause", "start"]
        assert older["next"] is None
