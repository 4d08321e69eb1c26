"""The quickstart does what README says: it is in order, it runs, and what is posted to it is where it belongs."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.walkthrough import SECONDS, Reader

CONFIG = "deploy/quickstart/sluiceway.yaml"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Somebody whose quickstart runs."""
    with Reader(tmp_path_factory.mktemp("clone")) as reader:
        reader.run("make run")
        yield reader


def order(number: int, **changes: Any) -> dict[str, Any]:
    customer = {"email": "ada@example.org", "plan": "pro", "country": "se"}
    return {"type": "order", "id": f"posted-{number}", "amount": 900, "customer": customer, **changes}


def post(reader: Reader, *events: Any) -> dict[str, Any]:
    """The answer to a request with these events, one a line."""
    body = "\n".join(event if isinstance(event, str) else json.dumps(event) for event in events)
    url = reader.elsewhere("http://127.0.0.1:9601/events")
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/x-ndjson"})
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return dict(json.load(answer))


def out(reader: Reader, name: str) -> list[Any]:
    """The records of a file."""
    path = reader.folder / "deploy" / "quickstart" / "out" / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def posted(records: list[Any], event: dict[str, Any]) -> list[Any]:
    return [record for record in records if record.get("id") == event["id"]]


def until(found: Callable[[], bool], reader: Reader) -> None:
    deadline = time.monotonic() + SECONDS
    while not found():
        assert time.monotonic() < deadline, reader.log
        time.sleep(0.1)


def test_it_is_in_order() -> None:
    """There is no fault in it, and the tests in its rules files pass."""
    config = Path(__file__).resolve().parent.parent / CONFIG
    from router.config import load

    configuration = load([config])
    assert {flow.name for flow in configuration.flows} == {"shop", "sensors"}
    assert all(len(flow.tests) >= 3 for flow in configuration.flows)
    assert configuration.warnings == ()


def test_its_tests_pass(reader: Reader) -> None:
    """Every test inside its rules files passes."""
    assert ", 0 failed" in reader.run(f"sluiceway test {CONFIG}")


def test_an_event_is_on_disk_when_the_answer_arrives(reader: Reader) -> None:
    """Nobody has to wait after a 200: the files are looked at at once."""
    for number in range(20):
        big, small = order(number), order(number + 100, amount=1.5)
        assert post(reader, big, small) == {"accepted": 2}
        orders, vips = out(reader, "orders/se.ndjson"), out(reader, "vip.ndjson")
        assert [record["tier"] for record in (*posted(orders, big), *posted(orders, small))] == ["gold", "plain"]
        assert [record["customer"]["email"] for record in posted(vips, big)] == ["*@example.org"]
        assert posted(vips, small) == []


def test_what_breaks_the_contract_is_a_dead_letter_when_the_answer_arrives(reader: Reader) -> None:
    """It is accepted, kept with what is wrong with it, and delivered nowhere."""
    bad = order(500, amount=-1)
    assert post(reader, bad, "{not json") == {"accepted": 2}
    listed = reader.run(f"sluiceway dead list --json --source events {CONFIG}").splitlines()
    letters = {letter["value"]: letter for letter in map(json.loads, listed)}
    assert letters["{not json"]["stage"] == "decode"
    letter = letters[json.dumps(bad)]
    assert (letter["stage"], letter["reason"]) == ("contract", "invalid")
    assert "no amount is negative" in letter["detail"]
    assert posted(out(reader, "orders/se.ndjson"), bad) == []


def test_the_made_up_events_are_routed(reader: Reader) -> None:
    """Both flows work: every file fills, and heartbeats are nowhere."""
    until(lambda: all(out(reader, f"orders/{country}.ndjson") for country in ("de", "fr", "se")), reader)
    until(lambda: all(out(reader, f"readings/{kind}.ndjson") for kind in ("temperature", "humidity")), reader)
    until(lambda: bool(out(reader, "alarms.ndjson") and out(reader, "other.ndjson")), reader)
    assert {record["type"] for record in out(reader, "other.ndjson")} == {"visit"}
    assert all(record["celsius"] > 55 for record in out(reader, "alarms.ndjson"))


def test_the_banner_says_where_to_look(reader: Reader) -> None:
    """It names the pages, the files and a curl line, and that line works."""
    assert "deploy/quickstart/out" in reader.log
    assert reader.elsewhere("http://127.0.0.1:9600/metrics") in reader.log
    (curl,) = [line.strip() for line in reader.log.splitlines() if line.strip().startswith("curl ")]
    assert json.loads(reader.run(curl)) == {"accepted": 1}
    assert [record["id"] for record in out(reader, "vip.ndjson") if record["id"] == "mine"] == ["mine"]


def test_the_metrics_tell_of_it(reader: Reader) -> None:
    """What is posted shows in the counters of its source and its flow."""
    url = reader.elsewhere("http://127.0.0.1:9600/metrics")

    def count(metric: str) -> float:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            values = [line.split()[-1] for line in answer.read().decode().splitlines() if line.startswith(metric)]
        return sum(map(float, values))

    read = 'sluiceway_source_records_total{source="events"}'
    before = count(read)
    post(reader, *(order(number) for number in range(900, 910)))
    assert count(read) == before + 10
    assert count('sluiceway_connected{kind="source",name="events"}') == 1
