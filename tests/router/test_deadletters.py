"""Dead letters: nothing of them is lost, counts are exact, and each is replayed once."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.deadletters import DeadLetters
from router.errors import StateError
from router.letter import Letter
from router.letter_filter import Where
from router.state import FILE, StateDir

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDir]:
    with StateDir.open(tmp_path / "state") as opened:
        yield opened


@pytest.fixture
def store(state: StateDir) -> DeadLetters:
    return DeadLetters(state)


def letter(value: bytes = b"x", **changed: Any) -> Letter:
    plain: dict[str, Any] = {"time": 1, "flow": "f", "stage": "rule", "source": "s", "reason": "error"}
    return Letter(value=value, **{**plain, **changed})


async def found(store: DeadLetters, **where: Any) -> list[Letter]:
    return [letter async for letter in store.find(Where(**where))]


async def values(store: DeadLetters, **where: Any) -> list[bytes]:
    return [letter.value for letter in await found(store, **where)]


async def purge(store: DeadLetters, **where: Any) -> int:
    return await store.purge(store.ids(Where(**where)))


texts = st.text(st.characters(codec="utf-8"), max_size=20)
headers = st.none() | st.lists(st.tuples(texts, st.binary(max_size=20)), max_size=3)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | texts | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
mappings = st.dictionaries(texts, plain, max_size=3)
nanoseconds = st.integers(-(2**63), 2**63 - 1)
letters = st.builds(
    Letter,
    time=nanoseconds,
    flow=texts,
    stage=st.sampled_from(["decode", "contract", "rule", "sink"]),
    source=texts,
    rule=texts,
    sink=texts,
    reason=texts,
    detail=texts,
    attempts=st.integers(0, 10**6),
    version=texts,
    value=st.binary(),
    key=st.none() | st.binary(max_size=20),
    headers=headers,
    record_time=st.none() | nanoseconds,
    attributes=mappings,
    out_value=st.none() | st.binary(),
    out_key=st.none() | st.binary(max_size=20),
    out_headers=headers,
    out_settings=mappings,
)


@settings(max_examples=40, deadline=None)
@given(given_letters=st.lists(letters, max_size=6))
def test_letters_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, given_letters: list[Letter]) -> None:
    """Every field of every letter, in the order they were added, with rising ids; and the counts are right."""

    async def round_trip(kept: DeadLetters) -> list[Letter]:
        await kept.add_many(given_letters)
        return await found(kept)

    folder = tmp_path_factory.mktemp("letters")
    with StateDir.open(folder) as state:
        kept = DeadLetters(state)
        back = asyncio.run(round_trip(kept))
        counts = kept.counts()
    shutil.rmtree(folder)
    assert [b.id for b in back] == list(range(1, len(given_letters) + 1))
    for one in back:
        one.id = 0
    assert back == given_letters
    flows = [one.flow for one in given_letters]
    assert counts == {flow: flows.count(flow) for flow in flows}


class Celsius(int):
    """A number that msgpack does not know."""


async def test_no_content_makes_a_letter_fail(store: DeadLetters) -> None:
    """What UTF-8, msgpack or SQLite cannot hold is written another way; payload, key and headers' values stay."""
    deep: Any = "bottom"
    for _ in range(5000):
        deep = [deep]
    odd = letter(
        b"\xff\x00",
        key=b"\xfe",
        detail="bad \udc80 text",
        rule="\ud800",
        record_time=2**70,
        headers=[("h\udcff", b"\xff")],
        attributes={"big": 2**80, "deep": deep, "t\udcff": "\udcff", "set": {1}, 7: 7},
        out_settings={"plain": 1},
    )
    known = letter(
        attributes={"c": Celsius(5), "p": Path("/x"), "m": MappingProxyType({"a": (1,)}), "s": frozenset({3})}
    )
    await store.add_many([letter(b"before"), odd, known])
    back = await found(store)
    assert [b.value for b in back] == [b"before", b"\xff\x00", b"x"]
    assert back[1].detail == "bad \\udc80 text"
    assert back[1].record_time is None
    assert back[1].headers == [("h\\udcff", b"\xff")]
    assert back[1].attributes["big"] == str(2**80)
    assert back[1].attributes["t\\udcff"] == "\\udcff"
    assert back[1].attributes["set"] == [1]
    assert back[1].attributes["7"] == 7
    assert "deep" in back[1].attributes
    assert back[1].out_settings == {"plain": 1}
    assert back[2].attributes == {"c": 5, "p": "/x", "m": {"a": [1]}, "s": [3]}
    assert store.counts() == {"f": 3}


FILTERED = [
    letter(b"0", flow="a", stage="decode", source="s1", reason="undecodable", time=10),
    letter(b"1", flow="a", stage="rule", source="s1", rule="r1", reason="error", time=20),
    letter(b"2", flow="a", stage="sink", source="s2", rule="r1", sink="k1", reason="refused", time=30),
    letter(b"3", flow="b", stage="sink", source="s2", rule="r2", sink="k1", reason="timeout", time=40),
    letter(b"4", flow="b", stage="sink", source="s3", rule="r2", sink="k2", reason="refused", time=50),
]

WHERE: list[tuple[dict[str, Any], str]] = [
    ({}, "01234"),
    ({"flow": "a"}, "012"),
    ({"stage": "sink"}, "234"),
    ({"stage": ["sink", "nope"], "source": ["s3", "s1"]}, "4"),
    ({"stage": ["decode", "rule"]}, "01"),
    ({"sink": "k1"}, "23"),
    ({"rule": "r1"}, "12"),
    ({"rule": ""}, "0"),
    ({"source": "s1"}, "01"),
    ({"reason": "refused"}, "24"),
    ({"since": 30}, "234"),
    ({"until": 30}, "01"),
    ({"since": 20, "until": 50, "stage": "sink"}, "23"),
    ({"ids": [1, 5, 99]}, "04"),
    ({"ids": []}, ""),
    ({"limit": 2}, "01"),
    ({"limit": 0}, ""),
    ({"limit": 2, "flow": "b"}, "34"),
    ({"limit": 1, "ids": {4, 3}}, "2"),
    ({"flow": "nope"}, ""),
    ({"flow": "a' OR 1=1 --"}, ""),
    ({"flow": "\udcff"}, ""),
]


@pytest.mark.parametrize(("where", "expected"), WHERE)
async def test_filters(store: DeadLetters, where: dict[str, Any], expected: str) -> None:
    """Letters and their ids are found by the same filter, those that agree with everything given."""
    await store.add_many(FILTERED)
    assert b"".join(await values(store, **where)).decode() == expected
    assert (
        "".join(str(id_ - 1) for page in [page async for page in store.ids(Where(**where))] for id_ in page) == expected
    )
    assert await purge(store, **where) == len(expected)
    left = "".join(c for c in "01234" if c not in expected)
    assert b"".join(await values(store)).decode() == left
    assert sum(store.counts().values()) == len(left)
    assert sum(1 for one in FILTERED if one.flow == "a" and one.value.decode() in left) == store.counts()["a"]


async def test_finding_goes_through_pages_and_ends(store: DeadLetters) -> None:
    """More letters than fit a page, by number or by size, all come, and those added meanwhile do not."""
    big = b"B" * (3 << 20)
    await store.add_many([letter(str(n).encode()) for n in range(1700)])
    await store.add_many([letter(big), letter(big), letter(b"last")])
    seen = 0
    async for one in store.find():
        seen += 1
        if seen in (1, 501):
            await store.add_many([letter(b"new")])
        if seen <= 1700:
            assert one.value == str(seen - 1).encode()
    assert seen == 1703
    assert len(await values(store, limit=1200)) == 1200


async def test_ids_are_never_given_twice(store: DeadLetters) -> None:
    """The id of a letter that was purged names no other one later."""
    await store.add_many([letter(), letter()])
    await purge(store)
    await store.add_many([letter()])
    assert [one.id for one in await found(store)] == [3]


async def test_a_purge_gives_the_space_back(store: DeadLetters, state: StateDir) -> None:
    """After a purge of everything the file is small again."""
    await store.add_many([letter(bytes(10_000)) for _ in range(2000)])
    assert await purge(store) == 2000
    await state.write(lambda connection: None)
    size = state.look_up("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")[0][0]
    assert size < 1 << 20
    assert store.counts() == {"f": 0}


async def test_letters_take_the_place_of_others_in_one_step(store: DeadLetters) -> None:
    """What became of a replay is there, and what was replayed is not; what it became of nothing is delivered."""
    await store.add_many([letter(b"old"), letter(b"stays"), letter(b"delivered")])
    new = [letter(b"n1", flow="g", replaces=1), letter(b"n2", replaces=1), letter(b"n3")]
    await store.add_many(new, replayed=[1, 3])
    assert await values(store) == [b"stays", b"n1", b"n2", b"n3"]
    assert store.counts() == {"f": 3, "g": 1}


async def test_what_was_purged_during_its_replay_stays_purged(store: DeadLetters) -> None:
    """Neither its delivery nor its failure brings it back, and the count stays right."""
    await store.add_many([letter(), letter(), letter()])
    await purge(store, ids=[1, 2])
    await store.add_many([letter(replaces=1), letter(b"again", replaces=3)], replayed=[1, 2, 3])
    assert await values(store) == [b"again"]
    assert store.counts() == {"f": 1}


async def test_a_command_beside_the_daemon(state: StateDir, store: DeadLetters) -> None:
    """A visitor's purge is seen by the instance, which meanwhile adds letters; counts stay exact."""
    await store.add_many([letter(str(n).encode(), rule=str(n % 2)) for n in range(3000)])

    async def keep_adding() -> None:
        for _ in range(100):
            await store.add_many([letter(b"new", rule="new")] * 10)
            await state.positions("s").save({"n": 1})

    with StateDir.visit(state.path) as visitor:
        command = DeadLetters(visitor)
        _, purged = await asyncio.gather(keep_adding(), purge(command, rule="0"))
        assert purged == 1500
        assert command.counts() == store.counts() == {"f": 2500}
    assert len(await values(store)) == 2500


async def test_a_store_that_another_process_locks_waits(state: StateDir, store: DeadLetters) -> None:
    """A letter is added as soon as the lock is gone; the loop turns meanwhile."""
    other = sqlite3.connect(state.path / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    adding = asyncio.create_task(store.add_many([letter()]))
    await asyncio.sleep(0.05)
    assert not adding.done()
    assert store.counts() == {}
    other.execute("ROLLBACK")
    other.close()
    await adding
    assert store.counts() == {"f": 1}


ADDER = """
import asyncio, sys
from router.deadletters import DeadLetters
from router.letter import Letter
from router.state import StateDir
async def main():
    with StateDir.open(sys.argv[1]) as state:
        store = DeadLetters(state)
        for number in range(10**9):
            letters = [Letter(time=1, flow="f", stage="rule", source="s", reason="r", value=b"%d" % number,
                              version=str(part)) for part in range(100)]
            await store.add_many(letters)
            print(number, flush=True)
asyncio.run(main())
"""


async def test_letters_survive_kill_9_all_or_none(tmp_path: Path) -> None:
    """Every list that add_many returned for is there, none in part, and the count agrees."""
    for rounds in (1, 20, 150):
        folder = tmp_path / str(rounds)
        adder = subprocess.Popen(
            [sys.executable, "-c", ADDER, str(folder)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
        )
        assert adder.stdout is not None
        for _ in range(rounds):
            assert adder.stdout.readline()
        adder.send_signal(signal.SIGKILL)
        rest = adder.communicate()[0].split("\n")[:-1]
        said = rounds + len(rest)
        with StateDir.open(folder) as state:
            store = DeadLetters(state)
            kept = [(int(one.value), int(one.version)) for one in await found(store)]
            counts = store.counts()
        assert len(kept) % 100 == 0
        assert kept == [(number, part) for number in range(len(kept) // 100) for part in range(100)]
        assert len(kept) // 100 in (said, said + 1)
        assert counts == {"f": len(kept)}


SMALL_DISK = """
import asyncio, os, sys
from router.deadletters import DeadLetters
from router.letter import Letter
from router.letter_filter import Where
from router.errors import StateError
from router.state import StateDir
async def main():
    ballast = sys.argv[1] + "/ballast"
    with open(ballast, "wb") as file:
        file.write(bytes(1 << 20))
    with StateDir.open(sys.argv[1]) as state:
        store = DeadLetters(state)
        added = 0
        try:
            while True:
                await store.add_many([Letter(time=1, flow="f", stage="rule", source="s", reason="r",
                                             value=b"%d" % added + bytes(1000)) for _ in range(50)])
                added += 50
        except StateError as error:
            print(error)
        assert added
        assert store.counts() == {"f": added}
        assert len([letter async for letter in store.find()]) == added
        os.unlink(ballast)
        await store.add_many([Letter(time=1, flow="f", stage="rule", source="s", reason="r", value=b"last")])
        assert await store.purge(store.ids(Where(limit=51))) == 51
        assert store.counts() == {"f": added - 50}
    print("whole")
asyncio.run(main())
"""


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0,
    reason="a small disk needs a mount namespace",
)
def test_a_full_disk_is_told_and_leaves_nothing_in_part(tmp_path: Path) -> None:
    """On a small disk, the letters that no longer fit raise StateError, the earlier ones stay whole, and with
    more room all goes on."""
    mounted = 'mount -t tmpfs -o size=3m none "$1" && exec "$0" -c "$2" "$1"'
    ran = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mounted, sys.executable, str(tmp_path), SMALL_DISK],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "the disk is full" in ran.stdout
    assert ran.stdout.endswith("whole\n")


async def test_a_damaged_store_is_told(tmp_path: Path) -> None:
    """Pages that are broken inside raise StateError wherever they are met."""
    with StateDir.open(tmp_path) as state:
        await DeadLetters(state).add_many([letter(bytes(500)) for _ in range(2000)])
    file = tmp_path / FILE
    content = file.read_bytes()
    file.write_bytes(content[: 16 * 4096] + b"\xa5" * (len(content) - 16 * 4096))
    with StateDir.open(tmp_path) as state:
        store = DeadLetters(state)
        with pytest.raises(StateError, match="damaged"):
            await found(store)
        with pytest.raises(StateError, match="damaged"):
            await purge(store)
