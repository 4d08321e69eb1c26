"""How a command gets at a daemon: where it is, by which token, over which TLS; and what it says when it does not."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from processes import daemon_process, sluiceway

from router.client import Client, Faulty, NoDaemon, NotGranted, events_of, named, trust
from rules.faults import Fault, Place
from tests.certificates import Certificates, make_certificates
from tests.servers.ports import claim_port

RULES = "from: [never]\nrules: [{name: all, to: out}]\n"


def project(folder: Path, http: str) -> Path:
    """A daemon that does nothing but serve its pages so."""
    (folder / "rules.yaml").write_text(RULES)
    (folder / "sluiceway.yaml").write_text(
        f"http: {http}\n"
        "sources: {never: {type: memory, channel: never}}\n"
        "sinks: {out: {type: memory, channel: out}}\n"
        "flows: [rules.yaml]\n"
    )
    return folder


def test_the_daemons_file_says_where_it_is_and_which_token_it_takes(tmp_path: Path) -> None:
    """Whatever faults its rules have by now; on an address that means every one, by loopback."""
    port = claim_port()
    project(tmp_path, f"{{listen: '0.0.0.0:{port}', token: '${{env:ADMIN:-s3cret}}'}}")
    with daemon_process(tmp_path, port):
        (tmp_path / "rules.yaml").write_text("nonsense")
        known = sluiceway("status", "--json", cwd=tmp_path)
        assert (known.returncode, json.loads(known.stdout)["state"]) == (0, "running"), known.stderr
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        at = ("status", "--url", f"http://127.0.0.1:{port}")
        none = sluiceway(*at, cwd=elsewhere)
        assert (none.returncode, "a token is needed; give `http.token`" in none.stderr) == (1, True), none.stderr
        wrong = sluiceway(*at, "--token", "wrong", cwd=elsewhere)
        assert (wrong.returncode, "the token is refused" in wrong.stderr) == (1, True)
        assert sluiceway(*at, "--token", "s3cret", cwd=elsewhere).returncode == 0
        assert sluiceway(*at, cwd=elsewhere, environment={"SLUICEWAY_TOKEN": "s3cret"}).returncode == 0


def test_a_token_that_is_given_is_taken_where_that_of_the_file_cannot_be_had(tmp_path: Path) -> None:
    """As on a host whose service manager gives it to the daemon alone; the audit is read without any."""
    port = claim_port()
    project(tmp_path, f"{{listen: '127.0.0.1:{port}', token: s3cret}}")
    with daemon_process(tmp_path, port):
        config = tmp_path / "theirs.yaml"
        text = (tmp_path / "sluiceway.yaml").read_text()
        config.write_text(text.replace("s3cret", "'${credential:http-token}'"))
        none = sluiceway("status", config, cwd=tmp_path)
        assert (none.returncode, "the environment has no `CREDENTIALS_DIRECTORY`" in none.stderr) == (2, True)
        given = {"SLUICEWAY_TOKEN": "s3cret"}
        known = sluiceway("status", config, cwd=tmp_path, environment=given)
        assert known.returncode == 0, known.stderr
        assert sluiceway("status", config, "--token", "s3cret", cwd=tmp_path).returncode == 0
        listed = sluiceway("audit", "list", config, cwd=tmp_path)
        assert (listed.returncode, len(listed.stdout.splitlines())) == (0, 1), listed.stderr
        config.write_text(text.replace("s3cret", "7"))  # of what is wrong with the rest of `http`, it is told
        assert sluiceway("status", config, cwd=tmp_path, environment=given).returncode == 2


def test_a_certificate_of_the_daemons_file_is_trusted_and_no_other(tmp_path: Path, certificates: Certificates) -> None:
    """Exactly it, whatever names it has; by address, only what the system or --ca vouches for."""
    port = claim_port()
    project(
        tmp_path,
        f"{{listen: 127.0.0.1:{port}, tls: {{cert: '{certificates.folder}/server.pem', "
        f"key: '{certificates.folder}/server.key'}}}}",
    )
    with daemon_process(tmp_path, port):
        assert sluiceway("status", cwd=tmp_path).returncode == 0
        at = ("status", "--url", f"https://127.0.0.1:{port}")
        unknown = sluiceway(*at, cwd=tmp_path)
        assert (unknown.returncode, "is not trusted" in unknown.stderr, "--ca" in unknown.stderr) == (1, True, True)
        assert sluiceway(*at, "--ca", str(certificates.ca), cwd=tmp_path).returncode == 0
        plain = sluiceway("status", "--url", f"http://127.0.0.1:{port}", cwd=tmp_path)
        assert (plain.returncode, "https://" in plain.stderr) == (1, True), plain.stderr
        others = make_certificates(tmp_path / "others")
        config = tmp_path / "sluiceway.yaml"
        config.write_text(config.read_text().replace(str(certificates.folder), str(others.folder)))
        other = sluiceway("status", cwd=tmp_path)
        assert (other.returncode, "is not trusted" in other.stderr) == (1, True), other.stderr


def test_a_daemon_that_asks_for_a_certificate_gets_ours(tmp_path: Path, certificates: Certificates) -> None:
    port, folder = claim_port(), certificates.folder
    project(
        tmp_path,
        f"{{listen: 127.0.0.1:{port}, tls: {{cert: '{folder}/server.pem', key: '{folder}/server.key', "
        f"client_ca: '{certificates.ca}'}}}}",
    )
    with daemon_process(tmp_path, port):
        without = sluiceway("status", cwd=tmp_path)
        assert (without.returncode, "--cert" in without.stderr) == (1, True), without.stderr
        ours = ("--cert", str(folder / "client.pem"), "--key", str(folder / "client.key"))
        assert sluiceway("status", *ours, cwd=tmp_path).returncode == 0
        missing = sluiceway("status", "--cert", "none.pem", cwd=tmp_path)
        assert (missing.returncode, "cannot be used: No such file" in missing.stderr) == (1, True)


@pytest.mark.parametrize(
    ("http", "what"),
    [
        ("null", "the configuration has no `http`"),
        ("{listen: '127.0.0.1:0'}", "say which it is with --url"),
        ("{listen: '127.0.0.1:FREE'}", "no daemon answers at http://127.0.0.1:FREE (Connection refused)"),
    ],
)
def test_where_no_daemon_can_be_asked_it_says_why(tmp_path: Path, http: str, what: str) -> None:
    free = str(claim_port())
    project(tmp_path, http.replace("FREE", free))
    told = sluiceway("status", cwd=tmp_path)
    assert (told.returncode, what.replace("FREE", free) in told.stderr) == (1, True), told.stderr


def test_a_file_that_says_it_wrongly_is_refused_with_its_place(tmp_path: Path) -> None:
    project(tmp_path, "{listen: nowhere}")
    told = sluiceway("status", cwd=tmp_path)
    assert (told.returncode, "sluiceway.yaml:1:" in told.stderr) == (2, True), told.stderr
    assert sluiceway("status", "none.yaml", cwd=tmp_path).returncode == 2


# A double that answers as it is told


class _Double(BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, tuple[int, str]]] = {}
    asked: ClassVar[list[tuple[str, str, bytes, str | None]]] = []
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.asked.append((self.command, self.path, self.rfile.read(length), self.headers.get("Content-Type")))
        status, text = self.answers.get(self.path.partition("?")[0], (404, "404: Not Found"))
        body = text.encode()
        self.send_response(status)
        if status == 200 and self.path.partition("?")[0].endswith("/tap"):  # goes on until the other side has enough
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)
            self.connection.recv(1)
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - so the base class wants it

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def double() -> Iterator[str]:
    _Double.answers, _Double.asked = {}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Double)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_names_and_queries_arrive_whatever_they_hold(double: str) -> None:
    _Double.answers = {"/api/flows/a%2Fb%20%C3%A9": (200, "{}")}
    client = Client(double)
    client.get(named("flows", "a/b é"), where='event.x == "&"', limit=None)
    client.post(named("flows", "a/b é"), {"x": 1})
    client.close()
    assert [asked[1] for asked in _Double.asked] == [
        "/api/flows/a%2Fb%20%C3%A9?where=event.x+%3D%3D+%22%26%22",
        "/api/flows/a%2Fb%20%C3%A9",
    ]
    assert _Double.asked[1][::2] == ("POST", b'{"x": 1}')
    assert _Double.asked[1][3] == "application/json"


def test_what_is_not_granted_is_told_with_the_daemons_reason(double: str) -> None:
    faults = {"faults": [{"file": "a.yaml", "line": 3, "column": 7, "what": "wrong", "hint": "right"}]}
    _Double.answers = {
        "/api/reload": (422, json.dumps(faults)),
        "/api/sources/x/pause": (404, '{"error": "there is no source x"}'),
        "/api/status": (200, "no json"),
        "/metrics": (503, "starting\n"),
    }
    client = Client(double)
    with pytest.raises(Faulty) as faulty:
        client.post("/api/reload")
    assert faulty.value.faults == (Fault(Place("a.yaml", 3, 7), "wrong", "right"),)
    with pytest.raises(NotGranted, match=r"there is no source x$"):
        client.post("/api/sources/x/pause")
    with pytest.raises(NotGranted, match="has no /api/other: it may be of another version"):
        client.get("/api/other")
    with pytest.raises(NotGranted, match="starting"):
        client.text("/metrics")
    with pytest.raises(NoDaemon, match="does not answer as a daemon does"):
        client.get("/api/status")
    client.close()


def test_reload_prints_what_changed_or_every_fault(double: str, tmp_path: Path) -> None:
    changes = {"flows": {"added": ["new"], "removed": [], "changed": ["orders", "rows"]}}
    _Double.answers = {
        "/api/reload": (200, json.dumps({"version": "v2", "previous": "v1", "changes": changes, "warnings": ["w"]}))
    }
    told = sluiceway("reload", "--url", double, cwd=tmp_path)
    assert (told.returncode, told.stdout.splitlines()) == (
        0, ["reloaded: v1 -> v2", "  flows: added new", "  flows: changed orders, rows", "  warning: w"],
    )  # fmt: skip
    same = {"version": "v2", "previous": "v2", "taken": {"time": time.time(), "cause": "files"}}
    _Double.answers["/api/reload"] = (200, json.dumps(same))
    told = sluiceway("reload", "--url", double, cwd=tmp_path)
    assert re.fullmatch(r"nothing has changed: version v2, already taken at [\d: -]+ \(files\)\n", told.stdout)
    secret = {"settings": {"added": [], "removed": [], "changed": ["http.token"]}}
    _Double.answers["/api/reload"] = (200, json.dumps(same | {"changes": secret}))
    assert sluiceway("reload", "--url", double, cwd=tmp_path).stdout.splitlines() == [
        "reloaded: v2, with other secrets or values that are filled in", "  settings: changed http.token",
    ]  # fmt: skip
    _Double.answers["/api/reload"] = (200, json.dumps({"version": "v2", "previous": "v1", "changes": changes}))
    assert json.loads(sluiceway("reload", "--json", "--url", double, cwd=tmp_path).stdout)["changes"] == changes
    faults = [{"file": "a.yaml", "line": n, "column": 1, "what": "wrong", "hint": "right"} for n in (1, 2)]
    _Double.answers = {"/api/reload": (422, json.dumps({"faults": faults}))}
    refused = sluiceway("reload", "--url", double, cwd=tmp_path)
    assert (refused.returncode, refused.stderr.splitlines()) == (
        2, ["a.yaml:1:1: wrong; right", "a.yaml:2:1: wrong; right", "refused: 2 faults"],
    )  # fmt: skip
    lines = sluiceway("reload", "--json", "--url", double, cwd=tmp_path).stdout.splitlines()
    assert [json.loads(line)["line"] for line in lines] == [1, 2]


def test_pause_and_resume_name_the_source(double: str, tmp_path: Path) -> None:
    _Double.answers = {"/api/sources/o/pause": (200, "{}"), "/api/sources/o/resume": (200, "{}")}
    assert "source o is paused" in sluiceway("pause", "o", "--url", double, cwd=tmp_path).stdout
    assert sluiceway("resume", "o", "--url", double, cwd=tmp_path).stdout == "source o is read again\n"
    assert [asked[:2] for asked in _Double.asked] == [
        ("POST", "/api/sources/o/pause"), ("POST", "/api/sources/o/resume"),
    ]  # fmt: skip


RECORD = {
    "time": 1_700_000_000.5,
    "source": "o",
    "event": {"n": 1},
    "ends": [
        {"to": "vip", "rule": "big", "settings": {"key": "k"}, "changed": True, "reason": None, "detail": None},
        {"to": "dead_letter", "rule": None, "settings": {}, "changed": False, "reason": "error", "detail": "no"},
    ],
}
UNDECODED = {"time": 1_700_000_001, "source": "o", "event": None, "value": "\x1b[2J", "size": 4, "ends": []}


def stream(*records: object) -> str:
    events = [f"event: record\ndata: {json.dumps(record)}\n\n" for record in records]
    return 'retry: 1\n\n: nothing yet\n\nevent: skipped\ndata: {"records": 7}\n\n' + "".join(events)


def test_tap_prints_records_with_their_ends_until_there_were_enough(double: str, tmp_path: Path) -> None:
    """As they come, in a line each, or as JSON; what went by unseen is told on stderr."""
    _Double.answers = {"/api/flows/f/tap": (200, stream(RECORD, UNDECODED, RECORD))}
    told = sluiceway("tap", "f", "--where", "event.n > 0", "--limit", "2", "--url", double, cwd=tmp_path)
    assert (told.returncode, told.stderr) == (0, "sluiceway: 7 more went by\n")
    assert told.stdout.splitlines() == [
        '2023-11-14T22:13:20.500Z o -> vip by big {"key": "k"}, changed; dead_letter (error: no): {"n": 1}',
        "2023-11-14T22:13:21.000Z o -> : \\u001b[2J",
    ]
    assert _Double.asked[0][1] == "/api/flows/f/tap?where=event.n+%3E+0"
    as_json = sluiceway("tap", "f", "--json", "--limit", "1", "--url", double, cwd=tmp_path)
    assert json.loads(as_json.stdout) == RECORD
    _Double.answers = {"/api/flows/g/tap": (404, '{"error": "there is no flow g"}')}
    none = sluiceway("tap", "g", "--url", double, cwd=tmp_path)
    assert (none.returncode, none.stderr) == (1, f"sluiceway: {double}: there is no flow g\n")


def test_a_connection_that_was_closed_meanwhile_is_made_again() -> None:
    """A daemon closes what is idle; the next question does not fail because of that."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):
                connection, _ = server.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        thread = threading.Thread(target=serve)
        thread.start()
        client = Client(f"127.0.0.1:{server.getsockname()[1]}")
        assert [client.get("/api/status") for _ in range(2)] == [{}, {}]
        client.close()
        thread.join()


def test_an_address_that_is_none_is_told() -> None:
    for url in ("ftp://x", "http://", "http://x:port"):
        with pytest.raises(NoDaemon, match="is no address"):
            Client(url)


@pytest.mark.parametrize("token", ["a\nb", "é"])
def test_a_token_that_no_header_can_hold_is_told(token: str, tmp_path: Path) -> None:
    with pytest.raises(NoDaemon, match="the token should be printable ASCII"):
        Client("http://127.0.0.1:1", token)
    told = sluiceway("status", "--url", "http://127.0.0.1:1", "--token", token, cwd=tmp_path)
    assert (told.returncode, "Traceback" in told.stderr, token in told.stderr) == (1, False, False)


def test_events_are_read_as_the_standard_has_them() -> None:
    """Names, several lines of data, comments, and what stands at the end without its blank line."""
    lines = [": hello", "event: record", "data: {", "data: }", "", "data:1", "", "event: empty", "", "data: lost"]
    assert list(events_of(iter(lines))) == [("record", "{\n}"), ("message", "1")]


def test_trust_without_files_is_that_of_the_system() -> None:
    assert trust().check_hostname
