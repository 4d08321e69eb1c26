"""The last hour: what it says of what was counted, how much it keeps, and what the API tells of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from api_daemons import client_of, project
from hypothesis import given
from hypothesis import strategies as st

from router.api.history import HistoryTold
from router.config import Configuration, load
from router.history import MAX_RULES, POINTS, History, quantile
from router.metrics import Metrics
from router.testing import until


def status(*sources: str) -> dict[str, Any]:
    """Of a daemon with these sources, and the sink out."""
    lag = [{"records": 3, "seconds": 1.5}, {"records": 4, "seconds": None}]
    return {"sources": {name: {"lag": lag} for name in sources}, "sinks": {"out": {"queue": {"records": 7}}}}


def configuration(folder: Path, rules: int = 0) -> Configuration:
    """That of the API's tests, with so many rules more in one flow."""
    path = project(folder)
    more = "".join(f"  - {{name: r{number}, when: 'event.a == {number}', to: out}}\n" for number in range(rules))
    text = (folder / "rules" / "others.yaml").read_text()
    (folder / "rules" / "others.yaml").write_text(text.replace("rules:\n", "rules:\n" + more))
    return load([path])


def test_a_point_is_what_was_counted_since_the_last_one(tmp_path: Path) -> None:
    metrics, config = Metrics(), configuration(tmp_path)
    history = History(metrics, lambda: config, lambda: status("orders"))
    metrics.source_records.labels("orders").inc(50)
    metrics.rule_errors.labels("orders", "odd", "error").inc(2)
    metrics.end_to_end.labels("orders", "out").observe(0.02)
    history.tick()
    history.tick()
    told = history.told("orders").as_json()
    first, second = told["sources"]["orders"]["records"]
    assert first > 0
    assert second == 0
    assert told["sources"]["orders"]["lag_records"] == [7, 7]
    assert told["sources"]["orders"]["lag_seconds"] == [1.5, 1.5]
    assert told["sinks"]["out"]["queue"] == [7, 7]
    p50 = told["flows"]["orders"]["p50"]
    assert 0.01 < p50[0] <= 0.025
    assert math.isnan(p50[1])
    assert told["flows"]["orders"]["rules"]["odd"]["errors"][0] > 0
    assert told["flows"]["orders"]["rules"]["rest"]["errors"] == [0, 0]
    assert set(told["flows"]) == {"orders"}


def test_what_failed_in_the_last_minute_is_told_for_a_minute(tmp_path: Path) -> None:
    metrics, config = Metrics(), configuration(tmp_path)
    history = History(metrics, lambda: config, lambda: status("orders"))
    metrics.dead_letters.labels("orders", "sink", "out", "refused").inc(3)
    metrics.rule_errors.labels("orders", "odd", "error").inc(2)
    minute = history.last_minute
    for _ in range(6):
        assert minute.of_sinks() == {"out": {"letters": 3}}
        assert {"dead_letters": 3, "rule_errors": 2}.items() <= minute.of_flows()["orders"].items()
        history.tick()
    assert minute.of_sinks() == {}
    assert minute.of_flows() == {}
    metrics.sink_retries.labels("out").inc()
    assert minute.of_sinks() == {"out": {"retries": 1}}


def test_it_keeps_an_hour_and_nothing_of_what_is_gone(tmp_path: Path) -> None:
    metrics, config, names = Metrics(), configuration(tmp_path), ["orders", "old"]
    history = History(metrics, lambda: config, lambda: status(*names))
    history.tick()
    names[1:] = ["new"]
    for _ in range(POINTS + 5):
        history.tick()
    told = history.told().as_json()
    assert set(told["sources"]) == {"orders", "new"}
    for of_kind in (told["sources"], told["sinks"], told["flows"]):
        for one in of_kind.values():
            assert {len(series) for series in one.values()} == {POINTS} == {len(told["times"])}


def test_a_source_that_comes_later_has_points_for_the_time_before_that_say_nothing(tmp_path: Path) -> None:
    metrics, config, names = Metrics(), configuration(tmp_path), ["orders"]
    history = History(metrics, lambda: config, lambda: status(*names))
    history.tick()
    names.append("others")
    history.tick()
    before, now = history.told().as_json()["sources"]["others"]["records"]
    assert math.isnan(before)
    assert now == 0


def test_of_too_many_rules_those_of_the_fullest_flow_are_left_out_and_it_says_so(tmp_path: Path) -> None:
    metrics, config = Metrics(), configuration(tmp_path, rules=MAX_RULES)
    history = History(metrics, lambda: config, lambda: status("orders"))
    history.tick()
    assert history.told().as_json()["left_out"] == ["others"]
    assert "rules" not in history.told("others").as_json()["flows"]["others"]
    assert set(history.told("orders").as_json()["flows"]["orders"]["rules"]) == {
        "contact",
        "odd",
        "fails",
        "keyed",
        "rest",
    }


@given(st.lists(st.floats(0, 99), min_size=1), st.sampled_from([0.5, 0.99]))
def test_a_quantile_lies_in_the_bucket_of_the_value_that_it_is_of(values: list[float], share: float) -> None:
    bounds = [1.0, 5.0, 10.0, 50.0, 100.0, math.inf]
    counts = {bound: float(sum(value <= bound for value in values)) for bound in bounds}
    exact = sorted(values)[max(0, math.ceil(share * len(values) - 1e-9) - 1)]
    upper = next(bound for bound in bounds if exact <= bound)
    lower = max([0.0, *(bound for bound in bounds if bound < upper)])
    assert lower * (1 - 1e-4) <= quantile(counts, share) <= upper * (1 + 1e-4)


def test_without_observations_there_is_no_quantile() -> None:
    assert math.isnan(quantile({}, 0.5))
    assert quantile({1.0: 0.0, math.inf: 3.0}, 0.5) == pytest.approx(1.0)


async def test_the_api_tells_it_with_null_for_what_is_not_known(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        metrics = client.daemon.metrics
        await until(lambda: metrics.registry.get_sample_value("sluiceway_sink_records_total", {"sink": "keyed"}))
        client.daemon.history.tick()
        told = await client.get("/api/history")
        HistoryTold.model_validate(told)
        assert told["flows"]["orders"]["records"][0] > 0
        assert "rules" not in told["flows"]["orders"]
        assert told["flows"]["others"]["p50"] == [None]
        one = await client.get("/api/history", flow="orders")
        assert one["flows"]["orders"]["rules"]["keyed"]["records"][0] > 0
        status, _ = await client.ask("GET", "/api/history", params={"flow": "order"})
        assert status == 404
