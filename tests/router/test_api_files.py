"""The files of the configuration over the API: what is told of them, checked, and written; and that they are as they
were whatever fails."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from api_daemons import CONFIG, ORDERS, Client, client_of, project

from router.rewriting import NewText, Rewriting, Unwritable

RULES = "rules/orders.yaml"
TESTED = """\
# why: nobody knows
flow: orders
from: [orders]
rules:
  - {name: all, to: keyed}   # kept as it is
tests:
  - {name: it goes, given: [{event: {amount: 1}}], then: {keyed: 1}}
"""


async def files_of(client: Client) -> dict[str, dict[str, Any]]:
    """By the end of their paths."""
    told = (await client.get("/api/files"))["files"]
    return {"/".join(Path(file["path"]).parts[-2:]): file for file in told}


async def apply(client: Client, text: str, **more: Any) -> tuple[int, Any]:
    """Give the rules another text."""
    file = (await files_of(client))[RULES]
    new = {"text": text, "base_hash": file["hash"], **more}
    return await client.ask("POST", "/api/apply", json={"files": {file["path"]: new}})


def left_in(folder: Path) -> set[str]:
    """What is in the folder of the rules, hidden files included."""
    return {path.name for path in folder.iterdir()}


async def test_files_are_told_as_they_are_with_what_they_are_for(tmp_path: Path) -> None:
    path = project(tmp_path, orders=ORDERS.replace("{sensitive:", "{schema: order.json, sensitive:"))
    (tmp_path / "rules" / "order.json").write_text("{}")
    async with client_of(path) as client:
        found = await files_of(client)
        assert {name: (file["kind"], file["flow"]) for name, file in found.items()} == {
            f"{tmp_path.name}/sluiceway.yaml": ("main", None),
            RULES: ("rules", "orders"),
            "rules/others.yaml": ("rules", "others"),
            "rules/order.json": ("schema", "orders"),
        }
        assert all(file["is_running"] and file["read_only"] is None for file in found.values())
        assert found[RULES]["text"] == (tmp_path / RULES).read_text()
        (tmp_path / RULES).write_text("flow: [")
        changed = (await files_of(client))[RULES]
        assert not changed["is_running"]
        assert changed["hash"] != found[RULES]["hash"]


async def test_no_secret_is_told_whether_it_is_filled_in_or_written_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSPHRASE", "from-the-environment")
    path = project(tmp_path)
    path.write_text(path.read_text() + "secrets: {b: '${env:PASSPHRASE}'}\n")
    web = "  web: {type: http, url: 'http://127.0.0.1:9/', auth: {bearer: literal-secret}}\n"
    path.write_text(path.read_text().replace("sinks:\n", f"sinks:\n{web}"))
    async with client_of(path) as client:
        told = (await files_of(client))[f"{tmp_path.name}/sluiceway.yaml"]
        assert "secrets: {b: '${env:PASSPHRASE}'}" in told["text"]
        assert web.replace("literal-secret", "***") in told["text"]
        assert told["read_only"]
        body = {"files": {told["path"]: {"text": told["text"], "base_hash": told["hash"]}}}
        status, _ = await client.ask("POST", "/api/apply", json=body)
        assert status == 403
        path.write_text("secrets: {a: literal-secret\nflows: [")  # faulty: it cannot be told where a secret stands
        told = (await files_of(client))[f"{tmp_path.name}/sluiceway.yaml"]
        assert "literal-secret" not in json.dumps(told)


async def test_texts_are_checked_and_tested_in_place_of_files_and_nothing_is_written(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        path = (await files_of(client))[RULES]["path"]
        good = await client.post("/api/check", files={path: TESTED})
        assert good == {"faults": [], "warnings": good["warnings"], "tests": {"run": 1, "failed": []}}
        bad = await client.post("/api/check", files={path: TESTED.replace("then: {keyed: 1}", "then: {keyed: 2}")})
        [failed] = bad["tests"]["failed"]
        assert (failed["flow"], failed["name"], failed["file"], failed["line"]) == ("orders", "it goes", path, 7)
        body = {"files": {path: TESTED.replace("to: keyed", "to: nowhere").replace("from: [orders]", "from: [nope]")}}
        status, told = await client.ask("POST", "/api/check", json=body)
        assert status == 422
        assert {(fault["file"], fault["line"]) for fault in told["faults"]} >= {(path, 3), (path, 5)}
        assert (await client.ask("POST", "/api/check", json={"files": {"/etc/passwd": ""}}))[0] == 400
        main = (await files_of(client))[f"{tmp_path.name}/sluiceway.yaml"]
        moved = {main["path"]: main["text"].replace("./state", "./elsewhere")}
        assert (await client.ask("POST", "/api/check", json={"files": moved}))[0] == 422
        assert (tmp_path / RULES).read_text() == ORDERS


async def test_a_difference_is_shown_of_texts_that_are_nowhere_on_the_disk(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        async with asyncio.timeout(15):
            while not (await client.get("/api/dead_letters"))["letters"]:
                await asyncio.sleep(0.05)
        path = (await files_of(client))[RULES]["path"]
        texts = {path: "flow: orders\nfrom: [orders]\nrules: [{name: n, to: drop}]\n"}
        found = await client.post("/api/diff", files=texts, flow="orders")
        assert found["moved"] == found["records"] > 0
        [letter] = (await client.get("/api/dead_letters", limit=1))["letters"]
        found = await client.post("/api/diff", files=texts, on="dead", ids=[letter["id"]])
        assert (found["records"], found["healed"]) == (1, 1)
        assert (await client.ask("POST", "/api/diff", json={"files": {path: "flow: ["}}))[0] == 422


async def test_a_text_is_written_as_it_is_and_runs(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        (tmp_path / RULES).chmod(0o640)
        status, told = await apply(client, TESTED)
        assert status == 200, told
        assert (tmp_path / RULES).read_text() == TESTED
        assert (tmp_path / RULES).stat().st_mode & 0o777 == 0o640
        assert told["changes"]["flows"]["changed"] == ["orders"]
        assert [rule["name"] for rule in (await client.get("/api/flows/orders"))["detail"]] == ["all"]
        found = (await files_of(client))[RULES]
        assert found["is_running"]
        assert told["files"] == {found["path"]: found["hash"]}
        assert left_in(tmp_path / "rules") == {"orders.yaml", "others.yaml"}
        entries = (await client.get("/api/audit", action="apply"))["entries"]
        assert "+  - {name: all, to: keyed}   # kept as it is" in entries[-1]["detail"]["files"][0]["diff"]
        assert entries[-1]["actor"].startswith("http ")


@pytest.mark.parametrize(
    "text",
    ["flow: [", TESTED.replace("then: {keyed: 1}", "then: {keyed: 2}"), TESTED.replace("to: keyed", "to: nowhere")],
    ids=["no yaml", "a test fails", "a fault"],
)
async def test_what_could_not_be_taken_is_not_written(tmp_path: Path, text: str) -> None:
    async with client_of(project(tmp_path)) as client:
        status, told = await apply(client, text)
        assert status == 422
        assert told["faults"]
        assert (tmp_path / RULES).read_text() == ORDERS
        assert not (await client.get("/api/audit", action="apply"))["entries"]


async def test_a_file_that_was_changed_on_the_disk_is_not_overwritten(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        file = (await files_of(client))[RULES]
        (tmp_path / RULES).write_text(TESTED + "# by somebody else\n")
        status, _ = await apply(client, TESTED, base_hash=file["hash"])
        assert status == 409
        assert (tmp_path / RULES).read_text() == TESTED + "# by somebody else\n"


async def test_a_reload_that_is_refused_at_the_last_moment_puts_the_text_back(tmp_path: Path) -> None:
    """Of a database it is known only then whether it can be had."""
    path = project(tmp_path)
    async with client_of(path) as client:
        main = (await files_of(client))[f"{tmp_path.name}/sluiceway.yaml"]
        table = "tables: {t: {type: sql, url: 'sqlite:////nowhere/at/all.db', query: SELECT 1 AS id, key: id}}\n"
        body = {"files": {main["path"]: {"text": main["text"] + table, "base_hash": main["hash"]}}}
        status, told = await client.ask("POST", "/api/apply", json=body)
        assert status == 422, told
        assert path.read_text() == CONFIG % ""
        assert left_in(tmp_path) == {"rules", "sluiceway.yaml", "state"}
        assert (await client.get("/api/audit", action="apply"))["entries"]
        assert (await client.get("/api/flows/orders"))["rules"] == 5


def test_of_several_files_all_are_written_or_none_whatever_the_disk_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / name for name in ("a", "b", "c")]
    for path in paths:
        path.write_text("old")
    from router.config import digest

    texts = {path: NewText(b"new", digest(b"old")) for path in paths}
    calls, limit, real = [0], [0], os.fsync

    def full(descriptor: int) -> None:
        calls[0] += 1
        if calls[0] == limit[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    for limit[0] in range(1, 5):  # each file, and the folder
        calls[0] = 0
        with pytest.raises(Unwritable, match="No space left"):
            Rewriting(texts).write()
        assert [path.read_text() for path in paths] == ["old"] * 3
        assert left_in(tmp_path) == {"a", "b", "c"}
    limit[0] = 0
    rewriting = Rewriting(texts)
    rewriting.write()
    assert [path.read_text() for path in paths] == ["new"] * 3
    paths[1].write_text("newer, by somebody else")
    rewriting.restore()
    assert [path.read_text() for path in paths] == ["old", "newer, by somebody else", "old"]
    assert left_in(tmp_path) == {"a", "b", "c"}


@pytest.mark.parametrize("moment", range(1, 6))
def test_killed_at_any_moment_every_file_is_whole(tmp_path: Path, moment: int) -> None:
    """A process that ends at once in its nth call of fsync, before the call or after it."""
    from router.config import digest

    for path in (paths := [tmp_path / "a", tmp_path / "b"]):
        path.write_text("old" * 1000)
    texts = {path: NewText(b"new" * 1000, digest(b"old" * 1000)) for path in paths}
    child = os.fork()
    if not child:
        left, real = [moment], os.fsync

        def killed(descriptor: int) -> None:
            left[0] -= 1
            if not left[0]:
                os._exit(0)
            real(descriptor)

        os.fsync = killed  # type: ignore[assignment] # whoever calls it here has numbers
        Rewriting(texts).write()
        os._exit(0)
    os.waitpid(child, 0)
    assert {path.read_text() for path in paths} <= {"old" * 1000, "new" * 1000}


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    from router.config import digest

    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    rewriting = Rewriting({tmp_path / "link": NewText(b"new", digest(b"old"))})
    rewriting.write()
    rewriting.keep()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
