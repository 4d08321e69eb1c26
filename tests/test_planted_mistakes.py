"""``check`` finds what is planted into the quickstart, each mistake once and in its place, and nothing besides."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from router.cli import app

QUICKSTART = Path(__file__).resolve().parent.parent / "deploy" / "quickstart"
DOCS = QUICKSTART.parent.parent / "docs"
DAEMON, SHOP, SENSORS = "sluiceway.yaml", "rules/shop.yaml", "rules/sensors.yaml"
MARK = "§"


@dataclass(frozen=True)
class Mistake:
    """In ``file``, ``new`` instead of ``old``. It is found where the mark stands, by words that hold ``says``."""

    file: str
    old: str
    new: str
    says: str


MISTAKES = {
    "a field that the contract does not have": Mistake(
        SHOP, "event.amount >= 500.0", "§event.amuont >= 500.0", "`event` has no field `amuont`; did you mean `amount`?"
    ),
    "a value that is none of those there are": Mistake(
        SHOP, 'when: event.type == "heartbeat"', 'when: §event.type == "heartbeet"', "did you mean `heartbeat`?"
    ),
    "a condition that is none": Mistake(
        SHOP, 'when: event.type == "order"\n    set', "when: §event.id\n    set", "is a string, never true or false"
    ),
    "an argument of the wrong type": Mistake(
        SHOP, "${mask.email(event.customer.email)}", "${§mask.email(event.amount)}", "does not take (a number)"
    ),
    "a list with nothing of the type": Mistake(
        SHOP, 'when: event.type == "order"\n    to', "when: §event.type in [1, 2]\n    to", "this is never true"
    ),
    "a division with two readings": Mistake(
        SHOP, '|| event.amount >= 0.0', '|| §event.amount / 2 >= 0.0', "warning: `event.amount` may be an int or "
    ),
    "a rule that no record gets to": Mistake(
        SHOP, "  - name: rest ", "  - {name: all, to: other}\n  - §name: rest ", "warning: no record gets to rule "
    ),
    "an order between types that have none": Mistake(
        SENSORS, "celsius > 55.0", '§celsius > "55.0"', "> cannot compare these"
    ),
    "a number that is out of bounds": Mistake(
        SENSORS, 'r.kind == "temperature"', 'r.kind == "temperature" && §r.value > 5000', "is at most 1000"
    ),
    "a constant that fails": Mistake(
        SENSORS, "site: ${event.site}\n      celsius", 'site: ${§int("many")}\n      celsius', "this always fails"
    ),
    "a field that what goes out to a sink does not have": Mistake(
        DAEMON, "out/orders/${event.customer.country}", "out/orders/${§event.customer.contry}", "has no field `contry`"
    ),
    "a sink that nobody uses": Mistake(
        DAEMON, "  alarms: {type", "  §spare: {type: file, path: out/spare}\n  alarms: {type", "sends anything to sink"
    ),
}  # fmt: skip


def plant(folder: Path, mistakes: Iterable[Mistake]) -> list[tuple[str, str]]:
    """Put mistakes into a copy of the quickstart; where each is to be found, and what is to be said of it."""
    mistakes = list(mistakes)
    shutil.copytree(QUICKSTART, folder, ignore=shutil.ignore_patterns("out", "state"), dirs_exist_ok=True)
    found = []
    for file in (DAEMON, SHOP, SENSORS):
        text = (folder / file).read_text()
        own = [mistake for mistake in mistakes if mistake.file == file]
        for mistake in own:
            assert text.count(mistake.old) == 1, mistake
            text = text.replace(mistake.old, mistake.new)
        for mistake in own:
            before = text[: text.index(mistake.new)] + mistake.new.partition(MARK)[0]
            line = before.rpartition("\n")[2].replace(MARK, "")
            found.append((f"{folder / file}:{before.count(chr(10)) + 1}:{len(line) + 1}", mistake.says))
        (folder / file).write_text(text.replace(MARK, ""))
    return sorted(found)


def check(folder: Path) -> tuple[int, list[str]]:
    """The exit status of ``check``, and what it has found."""
    result = CliRunner().invoke(app, ["check", str(folder / DAEMON)])
    lines = result.stderr.splitlines()
    return result.exit_code, [line for line in lines if not line.startswith("refused: ")]


def test_nothing_is_wrong_with_the_quickstart(tmp_path: Path) -> None:
    assert plant(tmp_path / "clean", []) == []
    assert check(tmp_path / "clean") == (0, [])


@pytest.mark.parametrize("kind", MISTAKES)
def test_one_mistake_is_found_once_where_it_stands(tmp_path: Path, kind: str) -> None:
    [(place, says)] = plant(tmp_path / "planted", [MISTAKES[kind]])
    status, [line] = check(tmp_path / "planted")
    assert line.startswith(f"{place}: ")
    assert says in line
    assert status == (0 if "warning: " in line else 2)


def test_all_mistakes_are_found_at_once_and_none_is_invented(tmp_path: Path) -> None:
    planted = plant(tmp_path / "planted", MISTAKES.values())
    status, lines = check(tmp_path / "planted")
    places = [match[0] for line in lines if (match := re.match(r".*?:\d+:\d+(?=: )", line))]
    assert places == [place for place, _ in sorted(planted, key=lambda found: lines_and_columns(found[0]))]
    assert len(places) == len(lines) == len(MISTAKES) == 12
    assert all(says in "\n".join(lines) for _, says in planted)
    assert status == 2


def test_the_docs_show_what_is_found(tmp_path: Path) -> None:
    plant(tmp_path, MISTAKES.values())
    shown = (DOCS / "rules.md").read_text().partition("## Checked before it runs")[2].split("```text planted.txt\n")[1]
    assert shown.partition("```")[0].splitlines() == [line.removeprefix(f"{tmp_path}/") for line in check(tmp_path)[1]]


def lines_and_columns(place: str) -> tuple[str, int, int]:
    file, line, column = place.rsplit(":", 2)
    return file, int(line), int(column)
