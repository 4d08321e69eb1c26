"""The benchmarks run, on sizes so small that their figures say nothing; and their peers do where they are installed."""

from __future__ import annotations

import ast
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import contract, docs, route, rule_count, rules
from bench.expressions import FLOORS
from bench.flows import compiled
from bench.peers import environment
from bench.route_peers import NAMES, Peers, verdict
from router.batch import Batch
from tests.bench import figures

ZEN = Path(environment.__file__).with_name("zen.py")


@pytest.fixture
def no_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nobody has installed any."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_floor_and_ours_answer_alike_about_every_expression() -> None:
    found = rules.measured(1, 50, peers=False)
    assert found.keys() == FLOORS.keys()
    assert all(of["ours"].answers == of["floor"].answers for of in found.values())
    assert any(any(of["floor"].answers) for of in found.values())


@pytest.mark.usefixtures("no_peers")
def test_an_engine_that_is_not_installed_is_shown_as_such() -> None:
    found = rules.measured(1, 5, peers=True)
    for of in found.values():
        assert [name for name, one in of.items() if one.reason == environment.ABSENT] == list(rules.PEERS)
        assert rules.table(of).text().count(environment.ABSENT) == len(rules.PEERS)


@pytest.mark.peers
@pytest.mark.skipif(not environment.installed(), reason="`python -m bench peers` installs them")
def test_engines_that_are_installed_are_measured_and_answer_as_the_floor_does() -> None:
    found = rules.measured(1, 5, peers=True)
    for of in found.values():
        assert {name: one.reason for name, one in of.items() if one.reason} == {}
        assert all(one.answers == of["floor"].answers for one in of.values())
        assert all(one.costs for one in of.values())


def test_every_expression_is_translated_for_zen() -> None:
    """Its module can be imported in the environment of the peers alone."""
    keys = [node.keys for node in ast.walk(ast.parse(ZEN.read_text())) if isinstance(node, ast.Dict)]
    assert {ast.literal_eval(key) for key in keys[0] if key is not None} == set(FLOORS)


def test_answers_that_differ_are_counted_and_marked() -> None:
    found = figures.of_rules()
    assert "1 of 2 differ" in rules.table(next(iter(found.values()))).text()
    assert "4.00*" in rules.overview(found).text()


def test_flows_of_few_and_many_rules_are_measured(tmp_path: Path) -> None:
    """Each is compared with the exact interpreter before."""
    plot = tmp_path / "plot.svg"
    arguments = ["--runs", "1", "--records", "50", "--counts", "1", "20", "--plot", str(plot)]
    assert rule_count.main(arguments) == 0
    assert ET.parse(plot).getroot().get("aria-label")


def test_mixed_rules_take_records_by_each_of_their_kinds() -> None:
    """So that the curve is of rules that do something."""
    ruleset = compiled(rule_count.rules_file(rule_count.mixed(14)), rule_count.SINKS)
    batch = rule_count.payloads(1_000, 2_000)
    matched = ruleset.route(Batch(batch), "events").matched
    assert {name for name, count in matched.items() if count} == {f"rule {number}" for number in range(14)}


def test_all_validators_refuse_the_same_records() -> None:
    """Which is seen to before they are measured; here is seen that they are."""
    found = contract.measured(20, 1)
    assert found.keys() >= {contract.DECODE, contract.DICT, contract.OURS}
    assert all(costs[0].cpu > 0 for costs in found.values())


@pytest.mark.usefixtures("no_peers")
def test_routers_that_are_not_installed_are_shown_as_such(tmp_path: Path) -> None:
    peers = Peers(tmp_path / "none", tmp_path)
    assert not peers.contenders().keys() & NAMES.keys()
    assert {name: peers.absent[name] for name in NAMES} == dict.fromkeys(NAMES, environment.ABSENT)


def test_the_daemon_is_measured_beside_its_floor() -> None:
    found = route.measured(500, 1, peers=False)
    assert found.costs.keys() == {"floor", "ours", route.UNPROJECTED}
    assert "identical" in route.table(found).text()


@pytest.mark.peers
@pytest.mark.skipif(not environment.installed(), reason="`python -m bench peers` installs them")
def test_routers_that_are_installed_write_what_the_floor_writes() -> None:
    found = route.measured(500, 1, peers=True)
    assert found.costs.keys() >= {"floor", "ours", *NAMES}
    assert {found.verdicts[name] for name in NAMES} == {"identical"}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"a": "1\n2\n", "b": "3\n"}, "identical"),
        ({"a": "2\n1\n", "b": "3\n"}, "another order"),
        ({"a": "1\n", "b": "3\n2\n"}, "1 of 3 records are not where they belong"),
        ({"a": "1\n2\n"}, "1 of 3 records are not where they belong"),
        ({"a": "1\n2\n2\n", "b": "3\n"}, "1 records too many"),
    ],
)
def test_outputs_are_compared(tmp_path: Path, written: dict[str, str], said: str) -> None:
    for folder, files in (("floor", {"a": "1\n2\n", "b": "3\n"}), ("found", written)):
        (tmp_path / folder).mkdir()
        for name, text in files.items():
            (tmp_path / folder / name).write_text(text)
    assert verdict(tmp_path / "found", tmp_path / "floor") == said


def test_the_page_and_its_plots_are_the_same_for_the_same_figures(tmp_path: Path) -> None:
    pages = []
    for name in ("one", "other"):
        docs.write(figures.run(), tmp_path / name)
        pages.append({path.name: path.read_text() for path in (tmp_path / name).rglob("*.*")})
    assert pages[0] == pages[1]
    assert pages[0].keys() == {"benchmarks.md", "rules.svg", "rule_count.svg", "route.svg"}
    assert all(f"benchmarks/{name}" in pages[0]["benchmarks.md"] for name in pages[0] if name.endswith("svg"))
    assert pages[0]["benchmarks.md"].count("not installed") == 2


def test_the_page_of_the_docs_is_of_the_expressions_that_are_measured() -> None:
    """Whoever changes what is measured has the page made anew."""
    page = (docs.DOCS / docs.PAGE).read_text()
    assert all(f"`{text}`" in page for text in FLOORS)
    assert all(name in page for name in rules.PEERS)
