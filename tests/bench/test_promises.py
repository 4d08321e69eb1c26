"""What benchmarks promise is seen to be broken when it is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bench import contract, route, rule_count, rules
from bench.report import Promise, judge
from tests.bench import figures

KEPT = [
    rules.promises(figures.of_rules(0.299)),
    rule_count.promises(figures.of_rule_count(1.49)),
    contract.promises(figures.of_contract(1.69)),
    route.promises(figures.of_route(5.0 * route.CPU_RATIO - 0.01)),
]
BROKEN = [
    rules.promises(figures.of_rules(0.301)),
    rules.promises(figures.of_rules(agrees=False)),
    rule_count.promises(figures.of_rule_count(1.51)),
    contract.promises(figures.of_contract(1.71)),
    route.promises(figures.of_route(5.0 * route.CPU_RATIO + 0.01)),
    route.promises(figures.of_route(rss_mb=route.RSS_MB + 1)),
]


@pytest.mark.parametrize("promises", KEPT)
def test_figures_within_what_is_promised_end_well(promises: Sequence[Promise]) -> None:
    assert promises
    assert judge(promises) == 0


@pytest.mark.parametrize("promises", BROKEN)
def test_figures_beyond_what_is_promised_end_with_status_1(
    promises: Sequence[Promise], capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge(promises) == 1
    assert "BROKEN" in capsys.readouterr().out


def test_nothing_is_promised_of_runs_that_are_too_short_for_it() -> None:
    """Start-up weighs more in a short one; and a thousand rules are compared with ten only if both were measured."""
    assert route.promises(figures.of_route(50.0, lines=1_000)) == []
    found = figures.of_rule_count(9.0)
    del found["equalities"][10]
    assert rule_count.promises(found) == []
