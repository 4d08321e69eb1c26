"""``sluiceway explain`` and the failures of ``sluiceway test``, as a person or a script runs them."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY
from xml.etree import ElementTree as ET

import pytest

from tests.commands import SLUICEWAY, Command, completed

SECRET = "sesame-open-now"

CONFIG = """
http: null
vars: {token: "${env:TOKEN:-none}", tenants: "${env:TENANTS:-acme,globex}"}
sources:
  orders: {type: file, path: in.ndjson, follow: true}
  posted: {type: stdin}
  lines: {type: memory, decode: text}
sinks:
  vip: {type: file, path: "out/${event.tenant}.ndjson", allow: {path: ["out/a*.ndjson"]}}
  rest: {type: file, path: out/rest.ndjson}
flows: [orders.yaml, lines.yaml]
"""
ORDERS = """
flow: orders
from: [orders, posted]
contract: {expect: {amount is positive: event.amount > 0}}
let: {big: event.amount > 500}
rules:
  - {name: spam, when: event.spam == true, to: drop}
  - name: vip
    when: big && event.tenant in vars.tenants.split(",")
    set: {event.tier: gold}
    to: vip
    continue: true
  - {name: keyed, when: meta.key == "k" && meta.headers.h == "v" && meta.topic == "t", to: rest}
  - {name: bad, when: event.bad, set: {event.n: "${event.amount + event.tenant}"}, to: rest}
  - {name: rest, to: rest}
tests:
  - name: big ones are vip
    given:
      - {event: {amount: 9, tenant: acme}}
      - {event: {amount: 900, tenant: acme}}
    then: {vip: [{event: {tier: gold}}], rest: 2}
"""
LINES = "{flow: lines, from: [lines], rules: [{name: all, to: rest}]}"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in {"sluiceway": CONFIG, "orders": ORDERS, "lines": LINES}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    (tmp_path / "in.ndjson").write_text("")
    return tmp_path


def sluiceway(
    *arguments: str | Path, cwd: Path, given: str | bytes | None = None, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    given = given.encode() if isinstance(given, str) else given
    return completed(*arguments, cwd=cwd, given=given or b"", environment={"COLUMNS": "80", **environment})


def explain(*arguments: str, cwd: Path, given: str | bytes | None = None, **environment: str) -> str:
    done = sluiceway("explain", *arguments, cwd=cwd, given=given, **environment)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    return done.stdout.decode()


def as_json(*arguments: str, cwd: Path, given: str | bytes | None = None, **environment: str) -> Any:
    return json.loads(explain(*arguments, "--json", cwd=cwd, given=given, **environment))


BIG = '{"amount": 900, "tenant": "acme"}\n'


def test_a_record_on_stdin_is_explained_as_a_tree_that_ends_with_where_it_goes(project: Path) -> None:
    told = explain("orders", cwd=project, given=BIG)
    assert told == (
        "record  33 bytes from orders, through flow orders\n"
        '└ {"amount": 900, "tenant": "acme"}\n'
        "contract  holds\n"
        "└ ✓ amount is positive\n"
        "  └ true   event.amount > 0   event.amount = 900\n"
        "rules\n"
        "├ ? spam  does not match: a field is missing\n"
        "│ └ missing event.spam == true   event.spam is missing\n"
        "├ ✓ vip  matches, and the record goes on\n"
        '│ ├ true   big && event.tenant in vars.tenants.split(",")\n'
        "│ │ ├ true   big: event.amount > 500   event.amount = 900\n"
        '│ │ └ true   event.tenant in vars.tenants.split(",")\n'
        '│ │   ├ event.tenant = "acme"\n'
        '│ │   └ ["acme", "globex"]  vars.tenants.split(",")\n'
        '│ │     └ vars.tenants = "acme,globex"\n'
        '│ ├ event.tier: nothing → "gold"\n'
        "│ └ → vip\n"
        '│   └ path: event.tenant = "acme"\n'
        "├ ? keyed  does not match: a field is missing\n"
        '│ └ missing meta.key == "k" && meta.headers.h == "v" && meta.topic == "t"\n'
        '│   ├ missing meta.key == "k"   meta.key is missing\n'
        '│   ├ missing meta.headers.h == "v"   meta.headers.h is missing\n'
        '│   └ missing meta.topic == "t"   meta.topic is missing\n'
        "├ ? bad  does not match: a field is missing\n"
        "│ └ missing event.bad\n"
        "└ ✓ rest  matches, and ends it\n"
        "  └ → rest\n"
        "goes to\n"
        "├ vip (file)  by rule vip\n"
        '│ ├ path: "out/acme.ndjson"\n'
        '│ └ {"amount":900,"tenant":"acme","tier":"gold"}\n'
        "└ rest (file)  by rule rest\n"
        '  ├ path: "out/rest.ndjson"\n'
        "  └ as it came\n"
    )
    assert "rules\n├ ✓ vip" in explain("orders", "--brief", cwd=project, given=BIG).replace(
        "✗ spam  does not match\n├ ", ""
    )


def on_a_terminal(*arguments: str, cwd: Path, given: bytes, **environment: str) -> str:
    """The output of the command where stdout is a terminal of 80 columns."""
    parent, child = pty.openpty()
    variables = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", **environment}
    variables.pop("NO_COLOR", None) if "NO_COLOR" not in environment else None
    with subprocess.Popen(
        [SLUICEWAY, *arguments], cwd=cwd, stdin=subprocess.PIPE, stdout=child, stderr=child, env=variables
    ) as run:
        os.close(child)
        assert run.stdin is not None
        run.stdin.write(given)
        run.stdin.close()
        told = b""
        while chunk := _read(parent):
            told += chunk
    os.close(parent)
    assert run.returncode == 0, told
    return told.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # on Linux, what is read of a terminal that nobody writes to any more
        return b""


def test_there_are_colours_on_a_terminal_and_none_in_a_pipe(project: Path) -> None:
    piped = explain("orders", cwd=project, given=BIG)
    assert "\x1b" not in piped
    coloured = on_a_terminal("explain", "orders", cwd=project, given=BIG.encode())
    assert "\x1b[32mtrue" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == piped
    plain = on_a_terminal("explain", "orders", cwd=project, given=BIG.encode(), NO_COLOR="1")
    assert "\x1b[32m" not in plain


def test_an_output_that_takes_ascii_alone_gets_ascii_alone(project: Path) -> None:
    given = '{"amount": 900, "tenant": "é"}'
    told = subprocess.run(
        [SLUICEWAY, "explain", "orders"], cwd=project, input=given.encode(), capture_output=True, check=True,
        timeout=60, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    ).stdout.decode()  # fmt: skip
    assert told.isascii()
    assert "+ + vip" not in told
    assert '"tenant": "\\xe9"' in told


def test_no_line_is_longer_than_the_terminal_is_wide_and_big_values_are_cut(project: Path) -> None:
    items = [{"amount": number, "text": "lorem ipsum " * 50} for number in range(20_000)]
    event = {"amount": 900, "tenant": "a" * 100_000, "bad": True, "items": items}
    told = explain("orders", cwd=project, given=json.dumps(event))
    assert max(map(len, told.splitlines())) <= 80
    assert len(told) < 10_000
    assert '…" (100,000 characters)' in told


def test_nothing_in_a_record_drives_the_terminal(project: Path) -> None:
    wicked = "\x1b]0;owned\x07\x1b[2J\u202e\u009b31m\r\n\ud800"
    event = json.dumps({"amount": 900, "tenant": "acme", "spam": wicked, wicked.strip("\ud800"): 1, "bad": True})
    for options in ((), ("--key", "\x1b[1m"), ("--header", "h\x1b=\x07"), ("--meta", '{"topic": "\\u001b"}')):
        told = explain("orders", *options, cwd=project, given=event)
        assert all(character.isprintable() for character in told.replace("\n", ""))
    whole = event.encode().replace(b"\\ud800", b"\xed\xa0\x80").replace(b"\\u001b", b"\x1b")
    told = explain("orders", cwd=project, given=whole)
    assert all(character.isprintable() for character in told.replace("\n", ""))


def test_what_came_from_the_environment_is_shown_nowhere(project: Path) -> None:
    rules = project / "orders.yaml"
    more = """
  - name: token
    when: |
      vars.token.substring(0, 6) == "sesame" && event.token == vars.token
    set: {event.parts: "${vars.tenants.split(',')}"}
    to: rest
    continue: true
  - name: each
    when: |
      vars.tenants.split(",").exists(t, t + "!" == event.x) || cel.bind(t, vars.tenants.split(","), t[0] != event.x)
    to: rest
    continue: true
  - {name: keyed"""
    rules.write_text(rules.read_text().replace("  - {name: keyed", more))
    event = json.dumps({"amount": 900, "tenant": "acme-corp", "token": SECRET, "x": "y"})
    environment = {"TOKEN": SECRET, "TENANTS": "wayne-enterprises,acme-corp"}
    told = explain("orders", cwd=project, given=event, **environment)
    whole = explain("orders", "--json", cwd=project, given=event, **environment)
    for text in (told, whole):
        assert SECRET not in text
        assert "sesame-" not in text
        assert "***" in text
    trees = told[: told.index("goes to")]
    assert "wayne" not in trees
    assert "acme-corp!" not in trees


def test_the_code_of_a_flow_is_shown_without_a_record_and_without_secrets(project: Path) -> None:
    rules = project / "orders.yaml"
    token = """  - {name: token, when: 'event.token == vars.token || event.token == vars.token + "!"', to: rest}
  - {name: keyed"""
    rules.write_text(rules.read_text().replace("  - {name: keyed", token))
    code = explain("orders", "--code", cwd=project, TOKEN=SECRET, TENANTS="acme")
    assert code.startswith("def route(")
    assert "== '***'" in code
    assert "sesame" not in code
    compile(code, "code", "exec")


def test_a_target_that_allow_refuses_is_told_as_the_dead_letter_that_it_becomes(project: Path) -> None:
    event = '{"amount": 900, "tenant": "globex"}'
    told = explain("orders", cwd=project, given=event)
    assert "becomes a dead letter: path 'out/globex.ndjson' is not allowed; `allow`" in told
    end = as_json("orders", cwd=project, given=event)["goes_to"][0]
    assert (end["to"], end["stage"], end["sink"], end["reason"]) == ("dead_letter", "sink", "vip", "not_allowed")
    assert end["detail"].startswith("path ")
    assert end["settings"]["path"] == "out/globex.ndjson"


@pytest.mark.parametrize(("tenant", "is_allowed"), [("acme", True), ("globex", False)])
def test_whether_allow_takes_what_is_not_shown_is_told_all_the_same(
    project: Path, tenant: str, is_allowed: bool
) -> None:
    (project / "orders.yaml").write_text(ORDERS.replace("contract: {", "contract: {sensitive: [event.tenant], "))
    told = explain("orders", cwd=project, given=json.dumps({"amount": 900, "tenant": tenant}))
    assert f"out/{tenant}" not in told
    assert ("becomes a dead letter: path '***' is not allowed; `allow`" not in told) is is_allowed


def test_tools_get_json_with_every_value(project: Path) -> None:
    whole = as_json("orders", cwd=project, given=BIG)
    assert (whole["flow"], whole["source"], whole["record"]) == ("orders", "orders", BIG.strip())
    assert whole["contract"]["holds"] is True
    fates = {rule["name"]: rule["fate"] for rule in whole["rules"]}
    assert fates == {"spam": "missing", "vip": "matched", "keyed": "missing", "bad": "missing", "rest": "matched"}
    assert whole["rules"][0]["missing"] == "event.spam"
    when = whole["rules"][1]["when"]
    assert (when["value"], when["parts"][0]["let"]) == (True, "event.amount > 500")
    assert whole["rules"][1]["makes"][0]["changes"] == [{"path": "event.tier", "after": "gold"}]
    assert whole["goes_to"] == [
        {
            "to": "vip",
            "by": "vip",
            "type": "file",
            "settings": {"path": "out/acme.ndjson"},
            "changed": True,
            "value": '{"amount":900,"tenant":"acme","tier":"gold"}',
        },
        {"to": "rest", "by": "rest", "type": "file", "settings": {"path": "out/rest.ndjson"}, "changed": False},
    ]
    dropped = as_json("orders", cwd=project, given='{"amount": 1, "spam": true}')
    assert dropped["goes_to"] == [{"to": "drop", "by": "spam"}]
    broken = as_json("orders", cwd=project, given=b"\xff\xfe")
    assert broken["record"] == {"base64": "//4="}
    assert broken["undecodable"] == {"reason": "undecodable", "detail": "not JSON: not UTF-8 at byte 0"}
    assert broken["goes_to"][0]["to"] == "dead_letter"


def test_values_that_json_does_not_have_are_told_as_text(project: Path) -> None:
    rules = project / "orders.yaml"
    keyed = (
        "  - {name: keyed, when: 'meta.time < timestamp(\"2026-01-31T12:00:00Z\") && 1.0 / 0.0 > event.amount * 0.0', "
    )
    rules.write_text(
        rules.read_text().replace(
            '  - {name: keyed, when: meta.key == "k" && meta.headers.h == "v" && meta.topic == "t", ', keyed
        )
    )
    whole = as_json(
        "orders", "--meta", '{"time": "2026-01-01T00:00:00Z"}', cwd=project, given='{"amount": 5.0, "n": 1e999}'
    )
    when = whole["rules"][2]["when"]
    assert when["parts"][0]["parts"][0]["value_text"] == 'timestamp("2026-01-01T00:00:00Z")'
    assert when["parts"][1]["parts"][0]["value_text"] == "inf"
    assert whole["meta"]["time"] == "2026-01-01T00:00:00Z"
    long = as_json("orders", cwd=project, given=json.dumps({"amount": 900, "tenant": "t" * 10_000}))
    assert long["rules"][1]["when"]["parts"][1]["parts"][0]["value_text"].endswith('" (10,000 characters)')


def test_what_a_source_would_know_is_given_by_options(project: Path) -> None:
    options = ["--key", "k", "--header", "H=v", "--meta", '{"topic": "t"}', "--source", "posted"]
    told = explain(*options, cwd=project, given='{"amount": 5}')
    assert "✓ keyed  matches, and ends it" in told
    assert "from posted, through flow orders" in told
    assert 'meta.topic = "t"' in told
    all_of_it = json.dumps({"topic": "t", "key": "k", "headers": {"h": "v"}, "time": "2026-01-31T12:00:00Z"})
    whole = as_json("orders", "--meta", all_of_it, cwd=project, given='{"amount": 5}')
    assert whole["goes_to"][0]["by"] == "keyed"
    assert whole["meta"] == {"topic": "t", "key": "k", "headers": {"h": "v"}, "time": "2026-01-31T12:00:00Z"}


def test_the_source_says_how_a_record_is_decoded(project: Path) -> None:
    assert as_json("lines", cwd=project, given="not json\r\n")["record"] == "not json"
    assert as_json("--source", "lines", cwd=project, given="not json")["goes_to"][0]["by"] == "all"


ROWS = 'id,amount,note\r\nx1,900,"two\r\nlines"\r\n\r\nx2,5,plain\r\nx3,7,"open\r\n'


def test_rows_of_csv_are_explained_with_their_header(project: Path) -> None:
    config = project / "sluiceway.yaml"
    config.write_text(config.read_text().replace("posted: {type: stdin}", "posted: {type: stdin, decode: csv}"))
    (project / "rows.csv").write_text(ROWS, newline="")
    first = as_json("--source", "posted", "--file", "rows.csv:3", cwd=project)
    assert (first["line"], first["record"]) == (2, 'x1,900,"two\r\nlines"')
    assert as_json("--source", "posted", "--file", "rows.csv:2", cwd=project) == first | {"meta": ANY}
    assert as_json("--source", "posted", "--file", "rows.csv:5", cwd=project)["record"] == "x2,5,plain"
    given = explain("--source", "posted", "--json", cwd=project, given=ROWS)
    rows = [json.loads(line) for line in given.splitlines()]
    assert [row["line"] for row in rows] == [2, 5, 6]
    assert rows[2]["goes_to"][0]["reason"] == "spoiled"
    lonely = sluiceway("explain", "--source", "posted", cwd=project, given=b"id,amount\n")
    assert (lonely.returncode, b"stdin has no records" in lonely.stderr) == (2, True)


def test_nothing_at_all_is_a_record_too(project: Path) -> None:
    assert "undecodable  not JSON: no bytes at all" in explain("orders", cwd=project, given=b"")


def test_lines_of_a_file_are_explained_by_number_or_the_first_ones(project: Path) -> None:
    (project / "some.ndjson").write_bytes(b'{"amount": 1}\r\n\n{"amount": 2}\n' + b'{"amount": 3}\n' * 20)
    third = as_json("orders", "--file", "some.ndjson:3", cwd=project)
    assert (third["line"], third["record"]) == (3, '{"amount": 2}')
    listed = explain("orders", "--file", "some.ndjson", "--limit", "3", "--json", cwd=project).splitlines()
    assert [(json.loads(one)["line"], json.loads(one)["record"]) for one in listed] == [
        (1, '{"amount": 1}'), (3, '{"amount": 2}'), (4, '{"amount": 3}'),
    ]  # fmt: skip
    told = explain("orders", "--file", "some.ndjson", cwd=project)
    assert [line for line in told.splitlines() if line.startswith("line ")] == [f"line {n}" for n in (1, *range(3, 12))]
    (project / "some:7").write_text('{"amount": 7}\n')
    assert as_json("orders", "--file", "some:7", cwd=project)["record"] == '{"amount": 7}'


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "which FLOW? There is orders, lines"),
        (["order"], "there is no flow 'order'; there is orders, lines"),
        (["orders", "lines"], "orders and lines: one FLOW, please"),
        (["orders", "--source", "lines"], "flow 'orders' does not read 'lines'; it reads orders, posted"),
        (["--source", "nobody"], "no flow reads 'nobody'"),
        (["orders", "--meta", "{"], "--meta is no JSON"),
        (["orders", "--meta", "[]"], "--meta should be a mapping"),
        (["orders", "--meta", '{"raw": 1}'], "raw is not for --meta"),
        (["orders", "--meta", '{"key": 1}'], "the key should be a text"),
        (["orders", "--meta", '{"headers": 1}'], "headers should be a mapping"),
        (["orders", "--meta", '{"time": "noon"}'], "the time should be like 2026-01-31T12:00:00Z"),
        (["orders", "--header", "h"], "'h' should be NAME=VALUE"),
        (["orders", "--file", "none.ndjson"], "none.ndjson cannot be read: No such file or directory"),
        (["orders", "--file", "none.ndjson:3"], "none.ndjson cannot be read: No such file or directory"),
        (["orders", "--file", "in.ndjson"], "in.ndjson has no records"),
        (["orders", "--file", "orders.yaml:99999"], "there is no record in line 99999 of orders.yaml"),
        (["orders", "--file", "orders.yaml:0"], "there is no record in line 0 of orders.yaml"),
        (["orders", "--file", "orders.yaml:1"], "there is no record in line 1 of orders.yaml"),
        (["orders", "--file", f"orders.yaml:{'9' * 5000}"], "there is no record in line"),
        (["orders", "--dead", "1", "--key", "k"], "--key beside --dead: a dead letter brings its own"),
        (["--limit", "0"], "--limit"),
        (["other/none.yaml", "orders"], "none.yaml: cannot be read"),
    ],
)
def test_wrong_usage_says_what_would_be_right(project: Path, arguments: list[str], said: str) -> None:
    done = sluiceway("explain", *arguments, cwd=project, given=b"{}", COLUMNS="200")
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_the_configuration_is_told_from_the_flow_by_its_name(project: Path) -> None:
    (project / "more.yml").write_text("vars: {tenants: none}\n")
    told = explain("sluiceway.yaml", "more.yml", "orders", cwd=project, given=BIG)
    assert "✗ vip  does not match" in told
    (project / "only.yaml").write_text(CONFIG.replace("orders.yaml, ", ""))
    assert "through flow lines" in explain("./only.yaml", cwd=project, given="x")


def test_a_faulty_configuration_is_refused_with_every_fault(project: Path) -> None:
    rules = project / "orders.yaml"
    rules.write_text(rules.read_text().replace("to: drop", "to: nowhere").replace("event.bad,", "event.bad &&,"))
    done = sluiceway("explain", "orders", cwd=project, given=BIG)
    assert done.returncode == 2
    assert done.stderr.decode().endswith("refused: 2 faults\n")


def test_a_reader_that_goes_away_is_no_trouble(project: Path) -> None:
    (project / "some.ndjson").write_text('{"amount": 1}\n' * 500)
    line = f"{SLUICEWAY} explain orders --file some.ndjson --limit 500 | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=project, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "line 1\n"
    assert "Traceback" not in done.stderr


@contextlib.contextmanager
def running(project: Path) -> Iterator[None]:
    """A daemon, which must end well."""
    with Command("run", cwd=project, stdin=subprocess.PIPE) as run:
        yield
        run.send_signal(signal.SIGTERM)
        _, errors = run.communicate(timeout=30)
    assert run.returncode == 0, errors


def letters(project: Path, count: int) -> dict[str, int]:
    """The ids of the dead letters, by their payload, once there are so many."""
    deadline = time.monotonic() + 30
    while True:
        listed = sluiceway("dead", "list", "--json", cwd=project).stdout.splitlines()
        if len(listed) == count:
            return {letter["value"]: letter["id"] for letter in map(json.loads, listed)}
        assert time.monotonic() < deadline, listed
        time.sleep(0.1)


def test_a_dead_letter_is_explained_while_the_daemon_runs_and_while_it_does_not(project: Path) -> None:
    failing, broken, refused = (
        '{"amount": 5, "bad": true, "tenant": "x"}',
        "{oops",
        '{"amount": 900, "tenant": "globex"}',
    )
    (project / "in.ndjson").write_text(f"{failing}\n{broken}\n{refused}\n")
    with running(project):
        ids = letters(project, 3)
        told = explain("--dead", str(ids[failing]), cwd=project)
    assert re.match(rf"dead letter {ids[failing]}  20\d\d-\S+Z\n├ stage rule, reason error, at rule bad\n", told)
    assert "! bad  fails: set: event.n: there is no int + string" in told
    assert 'meta.path = "' in told, "what the source knew is kept"
    assert explain("--dead", str(ids[failing]), cwd=project) == told
    assert "undecodable  not JSON" in explain("orders", "--dead", str(ids[broken]), cwd=project)
    sink = explain("--dead", str(ids[refused]), cwd=project)
    assert "stage sink, reason not_allowed, at rule vip, on its way to vip" in sink
    assert as_json("--dead", str(ids[failing]), cwd=project)["dead_letter"] == ids[failing]
    wrong = sluiceway("explain", "lines", "--dead", str(ids[failing]), cwd=project)
    assert (wrong.returncode, b"is of flow 'orders', not of 'lines'" in wrong.stderr) == (2, True)


def test_a_dead_letter_of_other_rules_is_explained_by_those_of_now(project: Path) -> None:
    (project / "in.ndjson").write_text('{"amount": -1}\n')
    config, rules = project / "sluiceway.yaml", project / "orders.yaml"
    with running(project):
        (number,) = letters(project, 1).values()
    rules.write_text(rules.read_text().replace("event.amount > 0", "event.amount > -5"))
    told = explain("--dead", str(number), cwd=project)
    assert "the rules have changed since: " in told
    assert "contract  holds" in told
    config.write_text(config.read_text().replace("orders: {", "renamed: {"))
    rules.write_text(rules.read_text().replace("[orders,", "[renamed,"))
    assert "from orders, through flow orders" in explain("--dead", str(number), cwd=project), "its source is gone"
    rules.write_text(rules.read_text().replace("flow: orders", "flow: other"))
    gone = sluiceway("explain", "--dead", str(number), cwd=project)
    assert (gone.returncode, b"which is no longer there; there is other, lines" in gone.stderr) == (2, True)


def test_a_dead_letter_that_is_not_there_is_no_explanation(project: Path) -> None:
    done = sluiceway("explain", "--dead", "7", cwd=project)
    assert (done.returncode, done.stderr) == (1, b"sluiceway: there is no dead letter 7\n")


# Failures of tests


def test_a_test_that_fails_shows_the_difference_and_why_it_came_so(project: Path) -> None:
    rules = project / "orders.yaml"
    rules.write_text(rules.read_text().replace("{event: {tier: gold}}", "{event: {tier: silver, amount: 900}}"))
    tested = sluiceway("test", "--junit", "junit.xml", cwd=project)
    assert tested.returncode == 1
    told = tested.stdout.decode()
    assert told.startswith(
        "FAIL orders: big ones are vip (orders.yaml:17:5)\n"
        "     vip: not as expected\n"
        "         {\n"
        '           "event": {\n'
        '       -     "tier": "silver",\n'
        '       +     "tier": "gold",\n'
        '             "amount": 900\n'
        "           }\n"
        "         }\n"
        "\n"
        "     why, given[1]:\n"
        "     record  30 bytes from orders, through flow orders\n"
    )
    assert "     ├ ✗ spam  does not match\n     ├ ✓ vip  matches, and the record goes on\n" in told
    assert told.endswith("\n0 passed, 1 failed\n")
    assert max(map(len, told.splitlines())) <= 80
    text = ET.parse(project / "junit.xml").findtext("testcase/failure")
    assert text is not None
    assert '  -     "tier": "silver",\n' in text
    assert "why, given[1]:\n" in text
    whole = json.loads(sluiceway("test", "--json", cwd=project).stdout)
    assert whole["failures"] == [
        {
            "sink": "vip",
            "says": "not as expected",
            "differences": ['[0].event.tier: "silver" expected, "gold" there'],
        }
    ]
    assert [one["given"] for one in whole["explained"]] == [1]


def test_a_count_that_is_wrong_explains_the_records_that_went_elsewhere(project: Path) -> None:
    rules = project / "orders.yaml"
    rules.write_text(rules.read_text().replace("vip: [{event: {tier: gold}}], rest: 2", "vip: 2, rest: 2"))
    told = sluiceway("test", cwd=project).stdout.decode()
    assert "     vip: 2 expected, 1 record came\n\n     why, given[0]:\n" in told
    assert "     ├ ✗ vip  does not match\n" in told, "the rule that should have sent it"
    assert "given[1]" not in told


def test_what_nobody_expected_is_shown(project: Path) -> None:
    rules = project / "orders.yaml"
    rules.write_text(rules.read_text().replace("vip: [{event: {tier: gold}}], rest: 2", "rest: 2"))
    told = sluiceway("test", cwd=project).stdout.decode()
    assert "vip: the test does not name it, so it must get nothing; it got 1 record\n" in told
    assert (
        "       + {\n"
        '       +   "event": {\n'
        '       +     "amount": 900,\n'
        '       +     "tenant": "acme",\n'
        '       +     "tier": "gold"\n'
        "       +   },\n"
        '       +   "path": "out/acme.ndjson"\n'
        "       + }\n"
    ) in told


def test_failures_are_harmless_to_terminals_and_well_formed_for_build_servers(project: Path) -> None:
    rules = project / "orders.yaml"
    text = rules.read_text().replace("{event: {tier: gold}}", '{event: {tenant: "x\\e[31m"}}')
    rules.write_text(text.replace("tenant: acme}}", 'tenant: acme, text: "\\e[2J\\0"}}'))
    tested = sluiceway("test", "--junit", "junit.xml", cwd=project)
    assert tested.returncode == 1
    assert all(character.isprintable() for character in tested.stdout.decode().replace("\n", ""))
    assert ET.parse(project / "junit.xml").findtext("testcase/failure")


def test_a_run_that_passes_prints_what_it_printed_before(project: Path) -> None:
    tested = sluiceway("test", cwd=project)
    assert (tested.returncode, tested.stdout.decode()) == (0, "ok   orders: big ones are vip\n1 passed, 0 failed\n")


def test_gates_are_shown_with_their_keys(project: Path) -> None:
    """As they are when no record has come before; what is secret in a key is not shown."""
    (project / "lines.yaml").write_text(
        """
flow: lines
from: [lines]
rules:
  - name: few
    sample: {ratio: 100%}
    throttle: {rate: 2/s, per: event + vars.token, else: next}
    dedupe: {key: meta.key, within: 10m}
    to: rest
otherwise: {unmatched: drop}
"""
    )
    shown = explain("sluiceway.yaml", "lines", cwd=project, given="hello", TOKEN=SECRET)
    assert SECRET not in shown
    assert "✓ sample 100%  passed" in shown
    assert "✓ throttle 2 in 1s, 2 at once  passed" in shown
    assert "? dedupe once in 10m  passes: its key is missing" in shown
    told = json.loads(explain("sluiceway.yaml", "lines", "--json", cwd=project, given="hello", TOKEN=SECRET))
    gates = told["rules"][0]["gates"]
    assert [(gate["kind"], gate["result"]) for gate in gates] == [
        ("sample", "passed"),
        ("throttle", "passed"),
        ("dedupe", "missing_key"),
    ]
    assert gates[1]["key"]["expression"] == "event + vars.token"
    assert SECRET not in json.dumps(told)
