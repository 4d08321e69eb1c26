"""``sluiceway diff``, as a person or a script runs it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from router.deadletters import DeadLetters
from router.letter import Letter
from router.state import StateDir
from tests.commands import sluiceway

CONFIG = """
http: null
sources:
  orders: {type: file, path: in.ndjson}
  rows: {type: file, path: in.csv, decode: csv}
sinks: {vip: {type: file, path: out/vip.ndjson}, rest: {type: file, path: out/rest.ndjson}}
flows: [rules/*.yaml]
"""
ORDERS = """
flow: orders
from: [orders]
contract: {expect: {positive: event.amount > 0}}
rules:
  - {name: vip, when: event.amount > 500, to: vip}
  - {name: rest, to: rest}
"""
ROWS = """
flow: rows
from: [rows]
rules:
  - {name: large, when: int(event.n) > 1 && meta.topic == "t", to: vip}
  - {name: rest, to: drop}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A configuration, and beside it, in ``next``, one in which less is very important."""
    write(tmp_path, ORDERS)
    write(tmp_path / "next", ORDERS.replace("> 500", "> 200"))
    (tmp_path / "in.ndjson").write_text('{"amount": 300}\n{"amount": 900}\n{"amount": -1}\n')
    return tmp_path


def write(folder: Path, orders: str) -> None:
    (folder / "rules").mkdir(parents=True)
    (folder / "sluiceway.yaml").write_text(CONFIG)
    (folder / "rules/orders.yaml").write_text(orders)
    (folder / "rules/rows.yaml").write_text(ROWS)


def diff(*arguments: str, cwd: Path, given: str = "") -> subprocess.CompletedProcess[str]:
    return sluiceway("diff", *arguments, cwd=cwd, given=given, environment={"COLUMNS": "80"})


BOTH = ("sluiceway.yaml", "next/sluiceway.yaml")


def test_it_says_who_gets_how_many_and_shows_the_records_that_move(project: Path) -> None:
    before = sorted(project.rglob("*"))
    done = diff(*BOTH, "--on", "in.ndjson", "--flow", "orders", cwd=project)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "orders -> rest by rest: 1 -> 0 (-1)\n"
        "orders -> vip by vip: 1 -> 2 (+1)\n"
        "orders -> dead_letter (invalid): 1 -> 1 (0)\n"
        "\n"
        "rest → vip  1 record of flow orders\n"
        "└ record 1 from orders\n"
        '  ├ {"amount": 300}\n'
        "  ├ before\n"
        "  │ ├ rules\n"
        "  │ │ ├ ✗ vip  does not match\n"
        "  │ │ │ └ false  event.amount > 500   event.amount = 300\n"
        "  │ │ └ ✓ rest  matches, and ends it\n"
        "  │ │   └ → rest\n"
        "  │ └ goes to\n"
        "  │   └ rest (file)  by rule rest\n"
        '  │     ├ path: "out/rest.ndjson"\n'
        "  │     └ as it came\n"
        "  └ after\n"
        "    ├ rules\n"
        "    │ ├ ✓ vip  matches, and ends it\n"
        "    │ │ ├ true   event.amount > 200   event.amount = 300\n"
        "    │ │ └ → vip\n"
        "    │ └ · rest  not reached: vip ended it\n"
        "    └ goes to\n"
        "      └ vip (file)  by rule vip\n"
        '        ├ path: "out/vip.ndjson"\n'
        "        └ as it came\n"
        "\n"
        "3 records: 1 would move, 0 would go out changed\n"
    )
    assert sorted(project.rglob("*")) == before, "nothing is written"


def test_with_exit_code_it_fails_only_when_something_moves(project: Path) -> None:
    on = ("--on", "in.ndjson", "--source", "orders", "--exit-code")
    assert diff(*BOTH, *on, cwd=project).returncode == 1
    assert diff("sluiceway.yaml", "sluiceway.yaml", *on, cwd=project).returncode == 0


def test_json_tells_all_of_it(project: Path) -> None:
    done = diff(*BOTH, "--on", "-", "--flow", "orders", "--json", cwd=project, given='{"amount": 300}\n' * 5)
    told = json.loads(done.stdout)
    assert (told["records"], told["moved"], told["changed"]) == (5, 5, 0)
    assert {"flow": "orders", "to": "vip", "reason": None, "rule": "vip", "old": 0, "new": 5, "difference": 5} in told[
        "counts"
    ]
    [move] = told["moves"]
    assert (move["from"], move["to"], move["records"], len(move["examples"])) == (["rest"], ["vip"], 5, 3)
    assert move["examples"][0]["new"]["goes_to"][0]["by"] == "vip"


def test_records_are_framed_as_the_source_frames_them_and_have_the_meta_that_is_given(project: Path) -> None:
    (project / "in.csv").write_text("n,m\n1,x\n2,y\n3,z\n")
    (project / "next/rules/rows.yaml").write_text(ROWS.replace("> 1", "> 2"))
    done = diff(*BOTH, "--on", "in.csv", "--flow", "rows", "--meta", '{"topic": "t"}', "--limit", "0", cwd=project)
    assert "rows -> vip by large: 2 -> 1 (-1)\n" in done.stdout, done.stderr
    assert "record 2" not in done.stdout


def test_several_files_on_a_side_are_merged(project: Path) -> None:
    (project / "prod.yaml").write_text("sinks: {vip: {type: file, path: prod/vip.ndjson}}\n")
    files = ("sluiceway.yaml", "sluiceway.yaml,prod.yaml")
    done = diff(*files, "--on", "in.ndjson", "--flow", "orders", cwd=project)
    assert "vip: path changed  1 record of flow orders" in done.stdout


def test_every_fault_of_both_sides_is_told(project: Path) -> None:
    (project / "rules/orders.yaml").write_text(ORDERS.replace("to: vip", "to: vup"))
    (project / "next/rules/orders.yaml").write_text(ORDERS.replace("to: rest", "to: rust"))
    done = diff(*BOTH, "--on", "in.ndjson", "--flow", "orders", cwd=project)
    assert done.returncode == 2
    assert "vup" in done.stderr
    assert "rust" in done.stderr
    assert done.stderr.endswith("refused: 2 faults\n")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("in.ndjson",), "which --flow, or --source? There is orders, rows"),
        (("in.ndjson", "--flow", "x"), "there is no flow 'x'"),
        (("in.ndjson", "--source", "x"), "no flow reads 'x'"),
        (("nothing", "--flow", "orders"), "--on: nothing cannot be read: No such file"),
        (("in.ndjson", "--flow", "orders", "--meta", '{"key": "k"}'), "neither a key"),
    ],
)
def test_wrong_usage_says_what_would_be_right(project: Path, options: tuple[str, ...], says: str) -> None:
    done = diff(*BOTH, "--on", *options, cwd=project)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_dead_letters_say_which_would_now_succeed(project: Path) -> None:
    """Those of stage sink go by no rule, and are told apart; the letters stay as they are."""
    with StateDir.open(project / "state") as state:
        store = DeadLetters(state)
        asyncio.run(store.add_many([letter(b'{"amount": -1}'), letter(b"{"), letter(b"{}", stage="sink", sink="vip")]))
    (project / "next/rules/orders.yaml").write_text(ORDERS.replace("event.amount > 0", "event.amount > -5"))
    done = diff(*BOTH, "--on", "dead", cwd=project)
    assert "dead_letter (invalid) → rest  1 record of flow orders\n└ dead letter 1 from orders\n" in done.stdout
    assert done.stdout.endswith(
        "note: 1 dead letter(s) of stage sink are not among these: a replay sends them straight to sink vip\n"
        "2 records: 1 would move, 0 would go out changed; 1 would be dead letters no more\n"
        "replayed with the new configuration, 1 would succeed, 1 would not\n"
    )
    with StateDir.visit(project / "state") as state:
        assert sum(DeadLetters(state).counts().values()) == 3


def letter(value: bytes, stage: str = "contract", sink: str = "") -> Letter:
    return Letter(time=0, flow="orders", stage=stage, source="orders", sink=sink, reason="invalid", value=value)  # type: ignore[arg-type]


def test_without_a_state_folder_there_are_no_dead_letters(project: Path) -> None:
    done = diff(*BOTH, "--on", "dead", cwd=project)
    assert (done.returncode, "no daemon has run" in done.stdout) == (0, True)
    assert not (project / "state").exists()


@pytest.fixture
def daemon() -> Iterator[str]:
    """A daemon's API, as far as samples go: the address of it."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kept = [
                {"flow": "orders", "source": "orders", "event": event, "value": None, "meta": {}}
                for event in ({"amount": 300}, None, {"amount": 900})
            ]
            found = {"/api/flows/orders/samples": kept, "/api/flows/rows/samples": []}.get(self.path)
            allowed = self.headers["Authorization"] == "Bearer sesame"
            body = json.dumps({"samples": found} if allowed else {"error": "no"}).encode()
            self.send_response(200 if allowed and found is not None else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_what_flows_through_a_daemon_now_is_looked_at_and_what_it_does_not_show_is_said_to_be_missing(
    project: Path, daemon: str
) -> None:
    at = ("--on", "live", "--url", daemon)
    done = diff(*BOTH, *at, "--token", "sesame", "--limit", "0", cwd=project)
    assert "orders -> vip by vip: 1 -> 2 (+1)\n" in done.stdout, done.stderr
    assert "note: these are 2 record(s) of the sample" in done.stdout
    assert "note: 1 record(s) of the sample are not among these" in done.stdout
    assert "\n2 records: " in done.stdout
    refused = diff(*BOTH, *at, "--token", "wrong", cwd=project)
    assert (refused.returncode, "the token is refused" in refused.stderr) == (1, True)
    nobody = diff(*BOTH, "--on", "live", cwd=project)
    assert (nobody.returncode, "has no `http`" in nobody.stderr) == (1, True)


@pytest.mark.parametrize("order", [BOTH, BOTH[::-1]], ids=["the old marks it", "the new marks it"])
def test_what_either_side_marks_as_sensitive_is_shown_of_neither(project: Path, order: tuple[str, str]) -> None:
    marked = ORDERS.replace("contract: {", "contract: {sensitive: [event.email], ")
    (project / "rules/orders.yaml").write_text(marked)
    changed = ORDERS.replace("to: vip}", 'set: {event.contact: "${event.email}"}, to: vip}')
    (project / "next/rules/orders.yaml").write_text(changed.replace("> 500", "> 200"))
    amounts = (300, 900)
    (project / "in.ndjson").write_text("".join(f'{{"amount": {n}, "email": "ada@secret"}}\n' for n in amounts))
    for more in ((), ("--json",)):
        done = diff(*order, "--on", "in.ndjson", "--flow", "orders", *more, cwd=project)
        assert (done.returncode, done.stderr) == (0, "")
        assert "record 1" in done.stdout
        assert "record 2" in done.stdout
        assert "ada@secret" not in done.stdout
