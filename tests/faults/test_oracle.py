"""The oracle itself: whatever is done to what the sinks hold, it says so, and it says nothing when nothing was done."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from oracle import LETTERS, Findings, Ledger, Oracle, lines_of
from shop import SINKS, Shop

SHOP = Shop(malformed=40)
COUNT = 2_000

World = dict[str, list[bytes]]
"""What each sink holds; under ``LETTERS`` the dead letters, as ``stage|sink|value``."""


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ledger]:
    folder = tmp_path_factory.mktemp("ledgers")
    made = {source: Ledger(folder / source) for source in ("a", "b")}
    for source, ledger in made.items():
        ledger.append(SHOP.lines(source, 0, COUNT))
    return made


@pytest.fixture
def world(ledgers: dict[str, Ledger]) -> World:
    """Where everything is when nothing went wrong, made from the lines themselves."""
    made: World = {sink: [] for sink in (*SINKS, LETTERS)}
    for source, ledger in ledgers.items():
        for number in range(len(ledger)):
            line = ledger.line(number)
            verdict = SHOP.judge(source, line)
            for sink, wanted in verdict.sinks.items():
                made[sink].append(line if wanted is None else line[:-1] + b',"tier":"gold"}')
            made[LETTERS] += [f"{source}|{stage}||".encode() + line for stage in verdict.letters]
    return made


def judged(ledgers: dict[str, Ledger], world: World, prepare: Callable[[Oracle], None] = lambda _: None) -> Oracle:
    oracle = Oracle(SHOP, ledgers)
    prepare(oracle)
    for sink in SINKS:
        for line in world[sink]:
            oracle.arrived(sink, line)
    for letter in world[LETTERS]:
        origin, stage, at, value = letter.split(b"|", 3)
        oracle.lettered(origin.decode(), stage.decode(), at.decode(), value)
    return oracle


def total(found: dict[str, Findings]) -> dict[str, int]:
    """All that was found wrong, by kind."""
    kinds = (*Findings.KINDS, "repeats")
    sums = {kind: sum(getattr(findings, kind) for findings in found.values()) for kind in kinds}
    return {kind: count for kind, count in sums.items() if count}


def test_the_load_has_every_fate(world: World) -> None:
    """Every sink, every stage before the sinks, and drops occur, or the other tests would show little."""
    assert all(len(world[sink]) > 50 for sink in SINKS)
    stages = {letter.split(b"|")[1] for letter in world[LETTERS]}
    assert stages == {b"decode", b"contract", b"rule"}
    fates = [SHOP.judge("a", SHOP.line("a", number)) for number in range(COUNT)]
    assert any(not fate.sinks and not fate.letters for fate in fates)
    assert any(len(fate.sinks) == 2 for fate in fates)


def test_a_perfect_run_is_clean(ledgers: dict[str, Ledger], world: World) -> None:
    """Nothing is found where nothing went wrong, and everything is counted."""
    found = judged(ledgers, world).findings()
    assert total(found) == {}
    assert {name: findings.found for name, findings in found.items() if name != LETTERS} == {
        sink: len(world[sink]) for sink in SINKS
    }
    assert found[LETTERS].expected == len(world[LETTERS])


@pytest.mark.parametrize("place", [*SINKS, LETTERS])
def test_a_missing_record_is_lost(ledgers: dict[str, Ledger], world: World, place: str) -> None:
    """One record less at any place is one lost there."""
    world[place].pop(len(world[place]) // 2)
    found = judged(ledgers, world).findings()
    assert total(found) == {"lost": 1}
    assert found[place].lost == 1
    assert found[place].violations == 1


@pytest.mark.parametrize("place", [*SINKS, LETTERS])
def test_a_repeat_counts_against_the_bound(ledgers: dict[str, Ledger], world: World, place: str) -> None:
    """A repeat is none of the other kinds, wrong where none is allowed, and right within the bound."""
    world[place].append(world[place][0])
    found = judged(ledgers, world).findings()
    assert total(found) == {"repeats": 1}
    assert found[place].violations == 1
    allowed = judged(ledgers, world, lambda oracle: oracle.may_repeat(place, 1)).findings()
    assert allowed[place].violations == 0


def test_order_is_by_key_and_by_first_arrival(ledgers: dict[str, Ledger], world: World) -> None:
    """Two records of one key that change places are found; of different keys, or a repeat behind them, are not."""
    held = world["disk"]
    keys = [(line[7:8], SHOP.judge("a", line).key) for line in held]
    first = 0
    same = next(i for i in range(1, len(held)) if keys[i] == keys[first])
    held[first], held[same] = held[same], held[first]
    assert total(judged(ledgers, world).findings())["disordered"] >= 1
    held[first], held[same] = held[same], held[first]
    other = next(i for i in range(1, len(held)) if keys[i] not in keys[:i])
    held.insert(0, held.pop(other))
    assert total(judged(ledgers, world).findings()) == {}
    held.append(held[first])
    assert total(judged(ledgers, world).findings()) == {"repeats": 1}


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b'{"id":"a/999999","key":"k01"}', "unknown"),
        (b'{"id":"c/1","key":"k01"}', "unknown"),
        (b'{"some":"thing else"}', "unknown"),
        (b"", "torn"),
        (b'd":"a/12","key":"k01"}', "torn"),
    ],
)
def test_strangers_and_fragments(ledgers: dict[str, Ledger], world: World, line: bytes, kind: str) -> None:
    """What no source was given is unknown when it is whole, and torn when it is not."""
    world["disk"].insert(5, line)
    assert total(judged(ledgers, world).findings()) == {kind: 1}


@pytest.mark.parametrize("cut", [0.2, 0.6, 0.95])
def test_a_torn_line_is_torn_and_its_record_lost(ledgers: dict[str, Ledger], world: World, cut: float) -> None:
    """Half a line stands for no record."""
    line = world["small"][7]
    world["small"][7] = line[: int(len(line) * cut)]
    assert total(judged(ledgers, world).findings()) == {"torn": 1, "lost": 1}


def test_two_lines_run_together_are_torn(ledgers: dict[str, Ledger], world: World) -> None:
    """A missing newline loses both records."""
    world["small"][7:9] = [world["small"][7] + world["small"][8]]
    assert total(judged(ledgers, world).findings()) == {"torn": 1, "lost": 2}


def test_an_altered_payload_is_found(ledgers: dict[str, Ledger], world: World) -> None:
    """One changed character is enough, in a record that goes out as it came and in one that a rule changed."""
    verbatim = next(i for i, line in enumerate(world["disk"]) if b'"tier"' not in line)
    shaped = next(i for i, line in enumerate(world["disk"]) if b'"tier"' in line)
    for index in (verbatim, shaped):
        world["disk"][index] = world["disk"][index].replace(b'"key":"k', b'"key":"x')
    assert total(judged(ledgers, world).findings()) == {"altered": 2, "lost": 2}


def test_a_step_that_was_left_out_is_found(ledgers: dict[str, Ledger], world: World) -> None:
    """A record that a rule should have changed does not pass as it came."""
    world["disk"] = [line.replace(b',"tier":"gold"', b"", 1) for line in world["disk"]]
    found = total(judged(ledgers, world).findings())
    assert found["altered"] == found["lost"] > 10


def test_a_record_at_another_sink_is_misrouted(ledgers: dict[str, Ledger], world: World) -> None:
    """Where no rule sends it, a record is wrong even if it is at its own sink, too."""
    world["small"].append(next(line for line in world["disk"] if line.startswith(b'{"id":"a/')))
    assert total(judged(ledgers, world).findings()) == {"misrouted": 1}


def test_a_letter_of_a_sink_needs_a_refusal(ledgers: dict[str, Ledger], world: World) -> None:
    """A dead letter of a sink stands for the delivery, but only of a record that the test had it refuse."""
    line = next(line for line in world["small"] if b'"tier"' not in line)
    world["small"].remove(line)
    world[LETTERS].append(b"b|sink|small|" + line)
    record = SHOP.identify(line)
    assert record is not None
    assert total(judged(ledgers, world).findings()) == {"stray": 1}
    assert total(judged(ledgers, world, lambda oracle: oracle.refusable("small", [record])).findings()) == {}


def test_a_letter_of_the_wrong_stage_or_payload(ledgers: dict[str, Ledger], world: World) -> None:
    """A letter counts only at the stage that the rules say, and with the record as it was read."""
    index = next(i for i, letter in enumerate(world[LETTERS]) if b"|rule|" in letter)
    right = world[LETTERS][index]
    world[LETTERS][index] = right.replace(b"|rule|", b"|decode|")
    assert total(judged(ledgers, world).findings()) == {"misrouted": 1, "lost": 1}
    world[LETTERS][index] = right + b" "
    assert total(judged(ledgers, world).findings()) == {"altered": 1, "lost": 1}


def test_what_was_judged_before_is_a_repeat(ledgers: dict[str, Ledger], world: World) -> None:
    """With ``since``, earlier records are not looked for, and are repeats when they come."""
    oracle = Oracle(SHOP, ledgers, since={"a": COUNT, "b": COUNT})
    assert total(oracle.findings()) == {}
    oracle.arrived("disk", world["disk"][0])
    assert total(oracle.findings()) == {"repeats": 1}


def test_many_losses_are_counted_one_by_one(ledgers: dict[str, Ledger], world: World) -> None:
    """The count is exact for a random mixture of losses and repeats."""
    rng = random.Random(5)
    held = world["disk"]
    gone = set(rng.sample(range(len(held)), 40))
    kept = [line for index, line in enumerate(held) if index not in gone]
    world["disk"] = kept + rng.sample(kept, 25)
    assert total(judged(ledgers, world).findings()) == {"lost": 40, "repeats": 25}


def test_a_last_line_without_newline_is_torn(ledgers: dict[str, Ledger], tmp_path: Path) -> None:
    """Of a file, an unfinished last line is torn even where what is there would be a whole record."""
    line = next(SHOP.line("b", n) for n in range(COUNT) if "small" in SHOP.judge("b", SHOP.line("b", n)).sinks)
    (tmp_path / "small").write_bytes(line + b"\n" + line)
    oracle = Oracle(SHOP, ledgers)
    for each in lines_of(tmp_path / "small"):
        oracle.arrived("small", each)
    assert oracle.findings()["small"].torn == 1


def test_a_ledger_is_read_back(tmp_path: Path) -> None:
    """A ledger that is opened again has the lines that it was given, and takes more."""
    first = Ledger(tmp_path / "x")
    first.append([b"one\n", b"\xff\x00\n"])
    first.close()
    again = Ledger(tmp_path / "x")
    again.append([b"three\n"])
    assert [again.line(number) for number in range(len(again))] == [b"one", b"\xff\x00", b"three"]
    again.close()


def test_it_goes_on_after_a_judgement(ledgers: dict[str, Ledger], world: World) -> None:
    """What was judged is not expected again; a record or a letter of it that comes is a repeat, and one of its key that
    follows is still in order."""
    oracle = judged(ledgers, world)
    oracle.findings()
    oracle.conclude()
    assert total(oracle.findings()) == {}
    assert sum(findings.expected for findings in oracle.findings().values()) == 0
    oracle.arrived("disk", world["disk"][7])
    origin, stage, at, value = world[LETTERS][0].split(b"|", 3)
    oracle.lettered(origin.decode(), stage.decode(), at.decode(), value)
    assert total(oracle.findings()) == {"repeats": 2}
    oracle.conclude()
    assert total(oracle.findings()) == {}


def test_what_may_come_again_is_counted(ledgers: dict[str, Ledger], world: World) -> None:
    """The records and letters that are there with a number from a floor on."""
    oracle = judged(ledgers, world)
    everything = oracle.exposed({})
    assert everything["disk"] == len(world["disk"])
    assert everything[LETTERS] == len(world[LETTERS])
    assert set(oracle.exposed({"a": COUNT, "b": COUNT}).values()) == {0}
    late = [line for line in world["disk"] if (SHOP.identify(line) or ("", 0))[1] >= 1500]
    assert oracle.exposed({"a": 1500, "b": 1500})["disk"] == len(late)


def test_what_nobody_promised_may_be_missing(ledgers: dict[str, Ledger], world: World) -> None:
    """It is counted by itself, but for what was safe already; and what comes of it has to be right."""
    small = world["small"]
    lost, kept, torn = small[3], small[5], small[8]
    world["small"] = [line[:-9] if line is torn else line for line in small if line is not lost and line is not kept]

    def prepare(oracle: Oracle) -> None:
        oracle.may_be_missing("b", range(COUNT))
        oracle.is_safe("small", [("b", (SHOP.identify(kept) or ("", 0))[1])])

    found = judged(ledgers, world, prepare).findings()
    assert total(found) == {"lost": 1, "torn": 1}
    assert found["small"].unpromised == 2
