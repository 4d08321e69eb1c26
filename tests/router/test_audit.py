"""The audit: entries are only added, what is done to them behind its back is found, and every action is recorded."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
from daemons import daemon_of
from hypothesis import given, settings
from hypothesis import strategies as st

from router.audit import Audit, Wanted, find, os_user, verify
from router.audit_chain import BEGINNING, TRIGGERS, Entry
from router.audit_details import LONGEST_DIFF, edits
from router.config import Secrets
from router.deadletters import DeadLetters
from router.errors import StateError
from router.letter import Letter
from router.metrics import Metrics
from router.state import FILE, StateDir
from rules.faults import Refused
from tests.commands import sluiceway


def audit_of(state: StateDir, metrics: Metrics | None = None) -> Audit:
    return Audit(state, lambda: "v1", Secrets(["s3cret"]).mask, metrics)


def written(folder: Path, *actions: str) -> None:
    with StateDir.open(folder) as state:
        audit = audit_of(state)

        async def write() -> None:
            for number, action in enumerate(actions):
                await audit.record(action, "user ada", {"n": number})

        asyncio.run(write())


async def every(folder: Path) -> list[Entry]:
    with StateDir.visit(folder) as state:
        return [entry async for entry in find(state, Wanted())]


def entries_of(folder: Path) -> list[Entry]:
    return asyncio.run(every(folder))


def tampered(folder: Path, *statements: str) -> None:
    """What somebody does who may write the file, and puts back what was in the way."""
    with sqlite3.connect(folder / FILE) as connection:
        made = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        triggers = connection.execute(made).fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        for _, sql in triggers:
            connection.execute(sql)
    connection.close()


def checked(folder: Path, head: str | None = None) -> tuple[int, str]:
    with StateDir.visit(folder) as state:
        found = asyncio.run(verify(state, head))
    return found.sound, found.broken


def test_each_entry_says_all_of_it_and_carries_the_hash_of_the_one_before(tmp_path: Path) -> None:
    """The hash is what the documentation says it is, so that others can compute it."""
    written(tmp_path, "start", "reload", "stop")
    first, second, third = entries_of(tmp_path)
    assert (first.previous, second.previous, third.previous) == (BEGINNING, first.hash, second.hash)
    assert (second.id, second.action, second.actor, second.version) == (2, "reload", "user ada", "v1")
    whole = second.as_json()
    del whole["hash"]
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    assert second.hash == hashlib.sha256(text.encode()).hexdigest()
    assert whole["detail"] == {"n": 1}
    assert checked(tmp_path) == (3, "")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'nobody' WHERE id = 2",
        "DELETE FROM audit WHERE id = 3",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT 2, time, action, 'nobody', version, detail, previous, hash FROM audit",
        "INSERT INTO audit SELECT 9, time, action, actor, version, detail, previous, hash FROM audit LIMIT 1",
    ],
)
def test_the_table_takes_nothing_but_the_next_entry(tmp_path: Path, statement: str) -> None:
    written(tmp_path, "start", "reload", "stop")
    before = entries_of(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    connection.close()
    assert entries_of(tmp_path) == before


ANEW = "previous = 'forged', hash = 'forged'"
TAMPERED: list[tuple[str, int, str]] = [
    ("UPDATE audit SET actor = 'nobody' WHERE id = 2", 1, "the content of entry 2 (reload"),
    ("UPDATE audit SET detail = 'no json' WHERE id = 2", 1, "the content of entry 2 (reload"),
    ("UPDATE audit SET time = '2020' || substr(time, 5) WHERE id = 1", 0, "the content of entry 1 (start"),
    ("UPDATE audit SET hash = previous WHERE id = 2", 1, "`hash` of entry 2 (reload"),
    ("UPDATE audit SET previous = hash WHERE id = 2", 1, "`previous` of entry 2 (reload"),
    ("UPDATE audit SET version = 'v2' WHERE id = 4", 3, "entry 4 (stop"),
    ("DELETE FROM audit WHERE id = 1", 0, "entry 1 was removed"),
    ("DELETE FROM audit WHERE id IN (2, 3)", 1, "entries 2 to 3 were removed"),
    ("DELETE FROM audit WHERE id = 4", 3, "entry 4 was removed"),
    ("DELETE FROM audit", 0, "entries 1 to 4 were removed"),
]


@pytest.mark.parametrize(("statement", "sound", "what"), TAMPERED)
def test_the_first_entry_that_is_not_what_it_was_is_told(tmp_path: Path, statement: str, sound: int, what: str) -> None:
    """Which one, and what about it was changed."""
    written(tmp_path, "start", "reload", "pause", "stop")
    tampered(tmp_path, statement)
    found, broken = checked(tmp_path)
    assert (found, what in broken) == (sound, True), broken


def rehashed(entry: Entry, **changed: str) -> str:
    """The statement that writes an entry anew, with a hash that fits."""
    made = Entry(**{name: changed.get(name, getattr(entry, name)) for name in Entry.__slots__})
    return f"UPDATE audit SET actor = '{made.actor}', hash = '{made.digest}' WHERE id = {made.id}"


def test_an_entry_that_is_forged_with_its_hash_is_found_by_the_next_one(tmp_path: Path) -> None:
    written(tmp_path, "start", "reload", "stop")
    tampered(tmp_path, rehashed(entries_of(tmp_path)[1], actor="nobody"))
    sound, broken = checked(tmp_path)
    assert (sound, broken.startswith("entry 2 (reload")) == (2, True)
    assert "was written anew" in broken


def test_what_the_file_alone_cannot_tell_is_told_by_a_head_kept_elsewhere(tmp_path: Path) -> None:
    """Entries cut off with the count of them mended, and a last entry forged with its hash."""
    written(tmp_path, "start", "reload", "stop")
    *_, last = entries_of(tmp_path)
    tampered(tmp_path, "DELETE FROM audit WHERE id = 3", "UPDATE sqlite_sequence SET seq = 2 WHERE name = 'audit'")
    assert checked(tmp_path) == (2, "")
    gone = told(tmp_path, "--head", last.hash)
    assert (gone.returncode, "no entry has the hash" in gone.stderr) == (1, True)
    written(tmp_path, "start")
    *_, last = entries_of(tmp_path)
    assert told(tmp_path, "--head", last.hash).returncode == 0
    tampered(tmp_path, rehashed(last, actor="nobody"))
    assert checked(tmp_path) == (3, "")
    assert told(tmp_path, "--head", last.hash).returncode == 1


def test_a_table_that_may_be_changed_is_no_audit(tmp_path: Path) -> None:
    written(tmp_path, "start")
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute(f"DROP TRIGGER {min(TRIGGERS)}")
    connection.close()
    assert f"taken away ({min(TRIGGERS)})" in checked(tmp_path)[1]


texts = st.text(max_size=20)
details = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(texts, st.dictionaries(texts, details, max_size=3)), max_size=5))
def test_whatever_an_entry_says_its_hash_holds(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, dict[str, Any]]]
) -> None:
    """Any text and any JSON value goes into the table and comes back as it was."""
    folder = tmp_path_factory.mktemp("state")
    with StateDir.open(folder) as state:
        audit = Audit(state, str, str)

        async def write() -> None:
            for actor, detail in said:
                await audit.record("reload", actor, detail)

        asyncio.run(write())
    assert checked(folder) == (len(said), "")
    assert [json.loads(entry.detail) for entry in entries_of(folder)] == [detail for _, detail in said]


def test_secrets_are_in_no_entry(tmp_path: Path) -> None:
    with StateDir.open(tmp_path) as state:
        audit = audit_of(state)
        asyncio.run(audit.record("reload", "token s3cret", {"a": ["x s3cret"], "s3cret": {"b": "s3cret"}}))
    (entry,) = entries_of(tmp_path)
    assert "s3cret" not in entry.actor + entry.detail
    assert "***" in entry.detail


def test_entries_of_several_processes_are_one_chain(tmp_path: Path) -> None:
    """A command writes beside the daemon."""

    async def both(daemon: StateDir, command: StateDir) -> None:
        audits = [audit_of(state) for state in (daemon, command)]
        await asyncio.gather(*(audits[n % 2].record("purge", f"user {n}", {"n": n}) for n in range(40)))

    with StateDir.open(tmp_path) as daemon, StateDir.visit(tmp_path) as command:
        asyncio.run(both(daemon, command))
    assert checked(tmp_path) == (40, "")
    assert sorted(json.loads(entry.detail)["n"] for entry in entries_of(tmp_path)) == list(range(40))


async def limit(state: StateDir, pages: int) -> None:
    """SQLite takes the file for full at so many pages."""
    await state.write(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}"))


async def test_an_entry_that_finds_no_room_is_told_counted_and_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With the time at which it happened, and before those that come after it; what must not happen unrecorded is
    refused."""
    metrics = Metrics()
    with StateDir.open(tmp_path) as state:
        audit = audit_of(state, metrics)
        await audit.record("start", "user ada", {})
        await limit(state, 1)
        await audit.record("pause", "user ada", {"filling": "." * 10_000})
        assert "the audit cannot be written (pause by user ada" in caplog.text
        with pytest.raises(StateError, match="the disk is full"):
            await audit.record("replay", "user ada", {"filling": "." * 10_000}, required=True)
        assert b'sluiceway_audit_failures_total{action="replay"} 1.0' in metrics.page()[0]
        await limit(state, 100_000)
        await audit.record("resume", "user ada", {})
        assert (await verify(state)).broken == ""
    entries = await every(tmp_path)
    assert [entry.action for entry in entries] == ["start", "pause", "resume"]
    assert entries[0].time < entries[1].time < entries[2].time


async def test_purging_a_full_store_makes_the_room_that_its_entry_needs(tmp_path: Path) -> None:
    """Letters go in the transaction of the entry, which is written last."""
    with StateDir.open(tmp_path) as state:
        store, audit = DeadLetters(state), audit_of(state)
        await store.add_many([letter(bytes(2000)) for _ in range(100)])
        await limit(state, 1)
        filling = {"filling": "." * 10_000}
        await audit.record("pause", "user ada", filling)
        assert await store.purge(store.ids(), audit.writing("purge", "user ada", filling)) == 100
    assert [entry.action for entry in await every(tmp_path)] == ["purge"]


async def test_what_the_audit_does_not_take_is_not_purged(tmp_path: Path) -> None:
    with StateDir.open(tmp_path) as state:
        store = DeadLetters(state)
        await store.add_many([letter(b"{}")])

        def fails(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO audit (id) VALUES (7)")

        with pytest.raises(StateError):
            await store.purge(store.ids(), fails)
        assert store.counts() == {"orders": 1}


def letter(value: bytes) -> Letter:
    return Letter(time=1, flow="orders", stage="contract", source="orders", reason="invalid", value=value)


def test_a_file_of_before_there_was_an_audit_gets_one(tmp_path: Path) -> None:
    """Its letters stay; until a daemon has run, the commands say what to do."""
    with StateDir.open(tmp_path) as state:
        asyncio.run(DeadLetters(state).add_many([letter(b"kept")]))
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.executescript("DROP TABLE audit; DROP TABLE open_jobs; ALTER TABLE jobs DROP COLUMN through_flow;")
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(StateError, match="`sluiceway run` brings it up to date"):
        StateDir.visit(tmp_path)
    written(tmp_path, "start")
    assert [entry.id for entry in entries_of(tmp_path)] == [1]
    with StateDir.visit(tmp_path) as state:
        assert DeadLetters(state).counts() == {"orders": 1}


# The commands

CONFIG = """
http: null
sources: {orders: {type: file, path: in.ndjson}}
sinks: {out: {type: file, path: out.ndjson}}
flows: [orders.yaml]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "in.ndjson").write_text("no json\n")
    (tmp_path / "orders.yaml").write_text("from: [orders]\nrules: [{name: all, to: out}]\n")
    (tmp_path / "sluiceway.yaml").write_text(CONFIG)
    return tmp_path


def told(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What ``audit verify`` says of a state folder."""
    (state / "only.yaml").write_text("state_dir: .\n")
    return sluiceway("audit", "verify", "only.yaml", *arguments, cwd=state)


def exported(folder: Path, *arguments: str) -> list[Any]:
    return [json.loads(line) for line in sluiceway("audit", "export", *arguments, cwd=folder).stdout.splitlines()]


def test_start_stop_replay_and_purge_are_recorded_with_who_and_what(project: Path) -> None:
    """Also those that a command does without a daemon; and the commands show, choose and verify them."""
    assert sluiceway("audit", "list", cwd=project).stdout == ""
    assert sluiceway("audit", "verify", cwd=project).stdout == "ok: no entries\n"
    assert sluiceway("run", cwd=project).returncode == 0
    assert sluiceway("dead", "replay", "--flow", "orders", cwd=project).returncode == 1
    assert sluiceway("dead", "purge", "--when", "reason == 'undecodable'", cwd=project).returncode == 0
    entries = exported(project)
    assert [entry["action"] for entry in entries] == ["start", "stop", "replay", "replay", "purge", "purge"]
    start, stop, begun, ended, purge, purged = (entry["detail"] for entry in entries)
    assert start["files"] == [str(project / "sluiceway.yaml")]
    assert list(start["flows"]) == ["orders"]
    assert stop == {"why": "every source has ended", "drained": True}
    assert (begun["step"], begun["letters"]) == ("begun", {"flow": "orders"})
    assert (ended["step"], ended["requested"], ended["again"]) == ("ended", 1, 1)
    assert (purge["step"], purge["letters"]) == ("begun", {"when": "reason == 'undecodable'"})
    assert purged == {"step": "ended", "purged": 1}
    assert {entry["actor"] for entry in entries} == {os_user(), "the daemon"}
    assert len({entry["version"] for entry in entries}) == 1
    assert [entry["id"] for entry in exported(project, "--action", "stop", "--action", "start")] == [1, 2]
    assert exported(project, "--until", "1h") == []
    assert len(exported(project, "--since", "1h", "--action", "purge")) == 2
    listed = sluiceway("audit", "list", cwd=project).stdout.splitlines()
    assert [line.split()[2] for line in listed] == [entry["action"] for entry in entries]
    verified = sluiceway("audit", "verify", cwd=project).stdout.splitlines()
    assert verified == [f"ok: 6 entry(s), the last of {entries[-1]['time']}", f"head {entries[-1]['hash']}"]
    as_json = json.loads(sluiceway("audit", "verify", "--head", entries[3]["hash"], "--json", cwd=project).stdout)
    assert as_json == {"ok": True, "broken": None, "entries": 6, "head": entries[-1]["hash"], "found": 4}


async def test_reloads_are_recorded_with_what_they_change(project: Path) -> None:
    """By whom, from which version to which; a refused one with its faults, and the version that runs on."""
    (project / "in.ndjson").touch()
    config = project / "sluiceway.yaml"
    config.write_text(CONFIG.replace("path: in.ndjson", "path: in.ndjson, follow: true"))
    async with daemon_of(config) as daemon:
        rules = project / "orders.yaml"
        before = daemon.configuration
        rules.write_text(rules.read_text().replace("name: all", "name: every"))
        await daemon.reload("api", "http 127.0.0.1")
        after = daemon.configuration
        rules.write_text(rules.read_text().replace("to: out", "to: nowhere"))
        with pytest.raises(Refused):
            await daemon.reload("api", "http 127.0.0.1")
    _, taken, refused, stop = await every(project / "state")
    assert (taken.action, taken.actor, taken.version) == ("reload", "http 127.0.0.1", after.version)
    detail = json.loads(taken.detail)
    assert (detail["from"], detail["to"], detail["cause"]) == (before.version, after.version, "api")
    assert detail["changes"]["flows"]["changed"] == ["orders"]
    assert detail["flows"] == {"orders": {"from": before.flows[0].version, "to": after.flows[0].version}}
    (edited,) = detail["files"]
    assert edited["path"] == str(rules)
    assert [line[:1] for line in edited["diff"].splitlines() if "name: " in line] == ["-", "+"]
    assert (refused.action, refused.version) == ("reload_refused", after.version)
    assert "there is no sink `nowhere`" in json.loads(refused.detail)["faults"][0]
    assert stop.action == "stop"


async def test_a_reload_of_what_is_no_component_is_told_by_name_and_recorded(project: Path) -> None:
    """Settings of the daemon's file, and secrets that are others: by name alone, and no version is made of these."""
    (project / "in.ndjson").touch()
    token, config = project / "token", project / "sluiceway.yaml"
    token.write_text("first-one")
    text = CONFIG.replace("path: in.ndjson", "path: in.ndjson, follow: true")
    text = text.replace("http: null", 'http: {listen: "127.0.0.1:0", token: "${file:token}"}')
    more = 'vars: {a: 1}\nsecrets: {pepper: "${file:token}"}\n'
    config.write_text(text + more)
    async with daemon_of(config) as daemon:
        versions = [daemon.configuration.version]
        token.write_text("second-one")
        told = [await daemon.reload("api")]
        config.write_text(text + more.replace("1", "1.0") + "drain_timeout: 20s\ndead_letters: {retain: 1d}\n")
        told += [await daemon.reload("api"), await daemon.reload("api")]
        versions.append(daemon.configuration.version)
    assert [(each.previous, each.version) for each in told] == [
        (versions[0], versions[0]), (versions[0], versions[1]), (versions[1], versions[1])
    ]  # fmt: skip
    assert list(map(str, told)) == [
        "settings changed secrets, http.token",
        "settings changed vars, drain_timeout, dead_letters",
        "nothing that runs is changed",
    ]
    recorded = [json.loads(entry.detail) for entry in await every(project / "state") if entry.action == "reload"]
    assert [entry["changes"].get("settings", {}).get("changed") for entry in recorded] == [
        ["secrets", "http.token"], ["vars", "drain_timeout", "dead_letters"], None
    ]  # fmt: skip
    assert told[2].taken is not None
    assert "-one" not in json.dumps(recorded)
    assert [[file["path"] for file in entry["files"]] for entry in recorded] == [[], [str(config)], []]
    assert "+drain_timeout: 20s" in recorded[1]["files"][0]["diff"]


def test_what_was_changed_in_a_text_is_cut_where_it_is_long_alone() -> None:
    assert edits("f", "a\n", "a\n") == {"path": "f", "diff": "", "is_cut": False}
    assert edits("f", "a\n", "b\n")["diff"].splitlines()[-2:] == ["-a", "+b"]
    long = edits("f", "", "x\n" * LONGEST_DIFF)
    assert (len(long["diff"]), long["is_cut"]) == (LONGEST_DIFF, True)
    assert edits("f", "", "x" * (1 << 20) + "y") == {"path": "f", "diff": "", "is_cut": True}


async def test_what_a_reload_changed_is_recorded_without_the_secrets_that_stand_there(project: Path) -> None:
    config = project / "sluiceway.yaml"
    (project / "in.ndjson").touch()
    text = CONFIG.replace("path: in.ndjson", "path: in.ndjson, follow: true")
    text = text.replace("http: null", 'http: {listen: "127.0.0.1:0", token: old-pepper}')
    config.write_text(text)
    async with daemon_of(config) as daemon:
        config.write_text(text.replace("old-pepper", "new-pepper") + "drain_timeout: 20s\n")
        await daemon.reload("api")
    (recorded,) = [entry.detail for entry in await every(project / "state") if entry.action == "reload"]
    assert "+drain_timeout: 20s" in json.loads(recorded)["files"][0]["diff"]
    assert "-pepper" not in recorded


def test_verify_fails_where_the_chain_is_broken(project: Path) -> None:
    assert sluiceway("run", cwd=project).returncode == 0
    tampered(project / "state", "UPDATE audit SET detail = '{' WHERE id = 1")
    verified = sluiceway("audit", "verify", cwd=project)
    assert (verified.returncode, verified.stdout) == (1, "")
    assert verified.stderr.startswith("broken: the content of entry 1 (start, ")
    assert exported(project)[0]["detail"] == "{"
    assert json.loads(sluiceway("audit", "verify", "--json", cwd=project).stdout)["ok"] is False


def test_the_audit_is_shown_although_the_rules_have_faults(project: Path) -> None:
    """Who looks into what went wrong need not mend it first; what finds the state folder must be right."""
    assert sluiceway("run", cwd=project).returncode == 0
    (project / "orders.yaml").write_text("nonsense")
    assert sluiceway("audit", "verify", cwd=project).returncode == 0
    (project / "sluiceway.yaml").write_text("state_dir: 7\n")
    refused = sluiceway("audit", "verify", cwd=project)
    assert (refused.returncode, "sluiceway.yaml:1:12" in refused.stderr) == (2, True), refused.stderr


def test_options_that_mean_nothing_are_told(project: Path) -> None:
    wrong = sluiceway("audit", "list", "--action", "relod", cwd=project)
    assert (wrong.returncode, "there is no action 'relod'" in wrong.stderr) == (2, True)
    wrong = sluiceway("audit", "verify", "--head", "abc", cwd=project)
    assert (wrong.returncode, "64 hexadecimal digits" in wrong.stderr) == (2, True)
