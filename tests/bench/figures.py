"""Figures as benchmarks find them, made up."""

from __future__ import annotations

from bench import contract, route, rule_count, rules
from bench.docs import Run
from bench.expressions import FLOORS
from bench.loops import PerRecord
from bench.measure import Cost


def per_record(cpu: float) -> list[PerRecord]:
    return [PerRecord(cpu, 2 * cpu)] * 3


def cost(cpu: float, rss_mb: float = 100.0) -> list[Cost]:
    return [Cost(cpu, cpu, rss_mb)] * 3


def of_rules(ours: float = 0.2, *, agrees: bool = True) -> rules.Figures:
    """The floor costs 0.1, one engine 4.0, and another cannot be measured."""
    engines = {
        "floor": rules.Measured(per_record(0.1), [True, False]),
        "ours": rules.Measured(per_record(ours), [True, not agrees]),
        "slow": rules.Measured(per_record(4.0), [True, True]),
        "absent": rules.Measured([], [], "not installed"),
    }
    return {text: dict(engines) for text in FLOORS}


def of_rule_count(many: float = 1.2) -> rule_count.Figures:
    """Ten rules cost 1.0."""
    found = {10: rule_count.Measured(per_record(1.0), 0.1), 1_000: rule_count.Measured(per_record(many), 1.0)}
    return {"equalities": found, "mixed": found}


def of_contract(ours: float = 1.5) -> contract.Figures:
    """To decode costs 1.0 and to check 0.7."""
    return {
        contract.DECODE: per_record(1.0),
        contract.DICT: per_record(0.7),
        contract.OURS: per_record(ours),
    }


def of_route(ours: float = 5.0, *, rss_mb: float = 100.0, lines: int = route.LINES) -> route.Figures:
    """The floor costs 5.0, one router 12.0, and another cannot be measured."""
    costs = {"floor": cost(5.0), "ours": cost(ours, rss_mb), "slow": cost(12.0)}
    return route.Figures(lines, costs, {"slow": "identical"}, {"absent": "not installed"})


def run() -> Run:
    return Run(of_rules(), of_rule_count(), of_contract(), of_route())
