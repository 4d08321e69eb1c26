"""Dead letters that are repaired: over real HTTP, from a daemon that runs, and by what a sink then gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from api_daemons import ORDERS, SECRET, Client, client_of, project

from connectors import memory
from router.letter import Letter, as_json
from router.letter_amendment import Amendment, OnItsWay
from router.replay_jobs import ReplayJobs
from router.testing import Books, until

RULES = """\
flow: others
from: [others]
rules:
  - {name: known, when: event.type == "order", to: keyed}
  - {name: rest, to: dead_letter}
"""


@pytest.fixture(autouse=True)
def _empty_channels() -> None:
    memory.forget()


def with_others(folder: Path) -> Path:
    """A project whose flow `others` takes records of one type alone."""
    path = project(folder)
    (folder / "rules" / "others.yaml").write_text(RULES)
    return path


async def letter_of(client: Client, payload: bytes) -> int:
    """The id of the letter that a record of the flow `others` has become."""
    await client.post("/api/sources/orders/pause")
    memory.source("others").push(memory.records(payload))
    await until(lambda: client.daemon.store.counts().get("others"))
    [letter] = (await client.get("/api/dead_letters", flow="others"))["letters"]
    return int(letter["id"])


async def amend(client: Client, id_: int, **body: Any) -> tuple[int, Any]:
    """Ask for it."""
    return await client.ask("POST", f"/api/dead_letters/{id_}/amend", json=body)


async def test_a_replay_sends_what_was_amended_and_the_letter_keeps_what_came_first(tmp_path: Path) -> None:
    async with client_of(with_others(tmp_path)) as client:
        id_ = await letter_of(client, b'{"type":"ordr"}')
        status, told = await amend(client, id_, value={"type": "order", "n": 1})
        assert status == 200, told
        assert told["value"] == '{"type": "order", "n": 1}'
        assert (told["original"]["what"], told["original"]["value"]) == ("record", '{"type":"ordr"}')
        assert (await client.get(f"/api/dead_letters/{id_}/explanation"))["goes_to"][0]["to"] == "keyed"
        await amend(client, id_, text='{"type":"order","n":2}', key="k", headers={"H": "v"})
        told = await client.get(f"/api/dead_letters/{id_}")
        assert told["original"]["value"] == '{"type":"ordr"}'
        assert (told["key"], told["headers"]) == ("k", [["H", "v"]])
        await client.post("/api/dead_letters/replay", id=[id_])
        await until(lambda: b'{"type":"order","n":2}' in memory.sink("keyed").values)
        await until(lambda: not client.daemon.store.counts()["others"])
        entries = (await client.get("/api/audit", action="amend"))["entries"]
        assert [entry["detail"]["letter"] for entry in entries] == [id_, id_]
        assert entries[0]["detail"]["bytes"] == {"before": 15, "after": 25}
        assert "ordr" not in str(entries)


async def test_a_replay_that_fails_again_makes_a_letter_that_still_has_what_came_first(tmp_path: Path) -> None:
    async with client_of(with_others(tmp_path)) as client:
        id_ = await letter_of(client, b"first")
        await amend(client, id_, text='{"type":"nonsense"}')
        await client.post("/api/dead_letters/replay", id=[id_])
        await until(lambda: client.daemon.store.counts().get("others"))

        async def again() -> Any:
            return (await client.get("/api/dead_letters", flow="others"))["letters"]

        while not (letters := await again()) or letters[0]["id"] == id_:
            await client.get("/api/status")
        told = await client.get(f"/api/dead_letters/{letters[0]['id']}")
        assert told["value"] == '{"type":"nonsense"}'
        assert told["original"]["value"] == "first"
        assert told["attempts"] == 2


async def test_of_a_flow_with_sensitive_fields_the_whole_payload_is_given_anew_and_none_is_shown(
    tmp_path: Path,
) -> None:
    async with client_of(project(tmp_path)) as client:
        await until(lambda: client.daemon.store.counts().get("orders"))
        await client.post("/api/sources/orders/pause")
        letter = (await client.get("/api/dead_letters", flow="orders"))["letters"][0]
        assert (await amend(client, letter["id"], key="k"))[0] == 400
        assert (await amend(client, letter["id"], text=letter["value"]))[0] == 400  # which has *** in it
        status, told = await amend(client, letter["id"], value={"amount": 7, "user": {"email": SECRET}})
        assert status == 200
        assert SECRET not in str(told)
        assert told["original"]["value"] is None
        text = ORDERS.replace("flow: orders", "flow: renamed")
        (tmp_path / "rules" / "orders.yaml").write_text(text)
        await client.post("/api/reload")
        assert SECRET not in str(await client.get(f"/api/dead_letters/{letter['id']}"))
        assert (await amend(client, letter["id"], key="k"))[0] == 400  # what was sensitive is not known any more


async def test_what_cannot_be_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async with client_of(with_others(tmp_path)) as client:
        id_ = await letter_of(client, b"first")
        for body in ({}, {"text": "a", "value": 1}, {"base64": "?"}, {"text": "\ud800"}, {"headers": {"\ud800": ""}}):
            assert (await amend(client, id_, **body))[0] == 400
        assert (await amend(client, 999_999, text="a"))[0] == 404
        told = await client.get(f"/api/dead_letters/{id_}")
        assert (told["value"], told["original"]) == ("first", None)
        assert not (await client.get("/api/audit", action="amend"))["entries"]


def letter(**changed: Any) -> Letter:
    """One of stage sink."""
    plain: dict[str, Any] = {"time": 1, "flow": "f", "stage": "sink", "source": "s", "reason": "refused"}
    return Letter(**{**plain, "value": b"came", "out_value": b"goes", "out_key": b"k", **changed})


async def test_one_that_is_on_its_way_is_left_as_it_is_and_taken_again_when_it_is_not(tmp_path: Path) -> None:
    books = Books(tmp_path)
    try:
        await books.store.add_many([letter()])
        jobs = ReplayJobs(books.store)
        job = await jobs.begin()
        await jobs.request(job, [1])
        with pytest.raises(OnItsWay):
            await books.store.amend(1, Amendment(b"new"))
        [claimed] = await jobs.claim(job)
        await jobs.withdraw(job)  # too late for what is on its way
        with pytest.raises(OnItsWay):
            await books.store.amend(1, Amendment(b"new"))
        books.store.release([claimed.id])
        await jobs.leave()
        assert (await books.store.amend(1, Amendment(b"new"))).out_value == b"new"
    finally:
        books.close()


async def test_at_stage_sink_it_is_what_goes_out_that_is_amended_and_all_else_stays(tmp_path: Path) -> None:
    books = Books(tmp_path)
    try:
        await books.store.add_many(
            [letter(headers=[("h", b"1")], attributes={"topic": "t"}, out_settings={"path": "p"})]
        )
        before = as_json((await books.letters())[0])
        await books.store.amend(1, Amendment(b"came", None, [("o", b"2")]))
        [found] = await books.letters()
        after = as_json(found)
        original = after.pop("original")
        assert (original["what"], original["value"], original["key"], original["headers"]) == (
            "outgoing", "goes", "k", None,
        )  # fmt: skip
        changed = {name for name, value in after.items() if value != before[name]}
        assert changed == {"out_value", "out_headers"}
        assert (after["out_value"], after["out_headers"]) == ("came", [["o", "2"]])
    finally:
        books.close()


async def test_a_failing_audit_leaves_the_letter_as_it_is(tmp_path: Path) -> None:
    """Both are one transaction."""
    books = Books(tmp_path)

    def fails(_: object) -> None:
        raise RuntimeError("no")

    try:
        await books.store.add_many([letter()])
        with pytest.raises(RuntimeError):
            await books.store.amend(1, Amendment(b"new"), fails)
        assert (await books.letters())[0].original is None
    finally:
        books.close()
