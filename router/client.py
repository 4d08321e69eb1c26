"""A client of a daemon that runs: its pages and its API, over HTTP, one request after the other.

The standard library's client, because a command is over before a larger one is imported.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from router.config import Whereabouts
from router.errors import SluicewayError
from router.tls import ServerTls
from rules.faults import Fault, Place

TIMEOUT = 10.0
"""Seconds that a daemon may take to answer."""
LONG_TIMEOUT = 300.0
"""Seconds that it may take to do something: a reload drains what changes."""
QUIET_SECONDS = 60.0
"""Seconds for which a stream of events may say nothing, not even that it is still there."""

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - what a daemon may listen on


class NoDaemon(SluicewayError):
    """Nobody answers there, or not as a daemon does."""


class NotGranted(SluicewayError):
    """The daemon does not do what it was asked to. ``status`` is its HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Faulty(NotGranted):
    """What the daemon was to take has faults."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(f"{len(faults)} fault(s)", http.client.UNPROCESSABLE_ENTITY)
        self.faults = tuple(faults)


class Client:
    """Asks the daemon at ``url``, such as ``http://127.0.0.1:9600``. Every method raises NoDaemon or NotGranted."""

    def __init__(self, url: str, token: str | None = None, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise NoDaemon(f"{url} is no address: {error}") from error
        if parts.scheme not in ("http", "https") or not host:
            raise NoDaemon(f"{url} is no address; it should be like http://127.0.0.1:9600")
        if token and not (token.isascii() and token.isprintable()):
            raise NoDaemon("the token should be printable ASCII: a line end in it, or an umlaut, cannot be sent")
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
        self._prefix = parts.path.rstrip("/")
        self._address = (host, port or (443 if parts.scheme == "https" else 80))
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self._headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._has_token = bool(token)
        self._kept: http.client.HTTPConnection | None = None

    def get(self, path: str, **query: object) -> Any:
        """The JSON value of a page."""
        return self._json(self.text(path, **query))

    def text(self, path: str, **query: object) -> str:
        """The text of a page."""
        given = {name: value for name, value in query.items() if value is not None}
        if self._kept is not None:
            try:
                return self._read(self._kept, "GET", _with(path, given))
            except NoDaemon:
                self.close()  # it may have been closed while nothing was asked
        self._kept = self._connection(TIMEOUT)
        return self._read(self._kept, "GET", _with(path, given))

    def post(self, path: str, body: object = None) -> Any:
        """Have something done; what the daemon says of it, as a JSON value."""
        connection = self._connection(LONG_TIMEOUT)
        try:
            sent = json.dumps({} if body is None else body).encode()
            return self._json(self._read(connection, "POST", path, sent))
        finally:
            connection.close()

    def events(self, path: str, **query: object) -> Iterator[tuple[str, Any]]:
        """The events of a stream (server-sent events, WHATWG HTML 9.2) as they come: their names and JSON values. Such
        a stream has no end of its own: raises NoDaemon when the daemon ends it, or has gone."""
        given = {name: value for name, value in query.items() if value is not None}
        connection = self._connection(QUIET_SECONDS)
        try:
            with self._answer(connection, "GET", _with(path, given)) as answer, self._translated(), suppress(*_BREAKS):
                for name, data in events_of(_lines(answer)):
                    yield name, self._json(data)
            raise NoDaemon(
                f"{self.url} has ended the stream: the daemon stops or is gone, or has no such flow any more"
            )
        finally:
            connection.close()

    def close(self) -> None:
        """Let go of the connection. Idempotent."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(*self._address, timeout=timeout)
        return http.client.HTTPSConnection(*self._address, timeout=timeout, context=self._tls)

    def _read(self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> str:
        with self._answer(connection, method, path, body) as answer, self._translated():
            return answer.read().decode(errors="replace")

    def _answer(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
    ) -> http.client.HTTPResponse:
        """The answer to a request that was granted."""
        headers = self._headers if body is None else {**self._headers, "Content-Type": "application/json"}
        with self._translated():
            connection.request(method, self._prefix + path, body, headers)
            answer = connection.getresponse()
            if answer.status == http.client.OK:
                return answer
            with answer:
                text = answer.read().decode(errors="replace")
        raise self._refusal(answer.status, text, path)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise what fails on the way as what it means to a person."""
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            raise NoDaemon(self._told(error)) from error

    def _told(self, error: OSError | http.client.HTTPException) -> str:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"the certificate of {self.url} is not trusted ({error.verify_message}); name who vouches with --ca"
        if isinstance(error, ssl.SSLError):
            what = "it speaks no TLS: say http://" if error.reason in _PLAIN else f"TLS fails ({error.reason or error})"
            asks = "" if error.reason not in _WANTS_CERTIFICATE else "; it asks for a certificate: --cert and --key"
            return f"{self.url}: {what}{asks}"
        if isinstance(error, TimeoutError):
            return f"{self.url} does not answer in time"
        if (
            self._tls is not None
            and isinstance(error, ConnectionError)
            and not isinstance(error, ConnectionRefusedError)
        ):
            # What is wrong with a certificate of ours is found after the handshake (RFC 8446, 4.4.2.4).
            return f"{self.url} ended the connection ({error}); if it asks for a certificate: --cert and --key"
        if isinstance(error, http.client.HTTPException | ConnectionResetError):
            return f"{self.url} does not answer as a daemon does; with `http.tls` it is https:// ({error})"
        why = error.strerror or error
        return f"no daemon answers at {self.url} ({why}); say where it is with --url, or start it with `sluiceway run`"

    def _refusal(self, status: int, text: str, path: str) -> NotGranted:
        said = _object(text)
        if status == http.client.UNPROCESSABLE_ENTITY and isinstance(said.get("faults"), list):
            return Faulty([_fault(fault) for fault in said["faults"]])
        if status == http.client.UNAUTHORIZED:
            what = "the token is refused" if self._has_token else "a token is needed"
            return NotGranted(f"{self.url}: {what}; give `http.token` with --token, or as SLUICEWAY_TOKEN", status)
        told = str(said.get("error") or text.strip() or "no reason given")
        if status == http.client.NOT_FOUND and "error" not in said:
            told = f"this daemon has no {path.partition('?')[0]}: it may be of another version"
        return NotGranted(f"{self.url}: {told}", status)

    def _json(self, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:
            raise NoDaemon(f"{self.url} does not answer as a daemon does: {error}") from error


_BREAKS = (ConnectionError, ssl.SSLEOFError, http.client.HTTPException)
"""What a connection ends with when the other end has gone."""
_PLAIN = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_EOF_WHILE_READING"})
_WANTS_CERTIFICATE = frozenset({"TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE"})


def address_of(there: Whereabouts) -> str:
    """Where a daemon with this configuration is asked. Raises NoDaemon where it cannot be known."""
    http_ = there.http
    if http_ is None:
        raise NoDaemon("the configuration has no `http`: a daemon that runs with it cannot be asked")
    if not http_.port:
        raise NoDaemon("`http.listen` takes any free port; say which it is with --url, as the daemon told it")
    host = _EVERYWHERE.get(http_.host, http_.host)
    return f"http{'' if http_.tls is None else 's'}://{f'[{host}]' if ':' in host else host}:{http_.port}"


def trust(
    ca: Path | None = None, cert: Path | None = None, key: Path | None = None, own: tuple[Path, ServerTls] | None = None
) -> ssl.SSLContext:
    """Whom to trust, and who we are. Without ``ca``, the authorities of the system; or, with ``own``, a folder and the
    settings of a daemon in it, exactly the certificate that this daemon shows, whatever names are in it. Raises
    NoDaemon when a file cannot be used."""
    try:
        pinned = None if own is None or ca is not None else _leaf(own[0] / own[1].cert)
        made = ssl.create_default_context(cafile=None if ca is None else str(ca), cadata=pinned)
        if pinned is not None:
            # Nobody else has the key of this very certificate; only the first of the file is taken, because an
            # authority's would vouch for others, too.
            made.check_hostname = False
            made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if cert is not None:
            made.load_cert_chain(cert, key)
    except OSError as error:
        raise NoDaemon(f"--ca, --cert or --key cannot be used: {error.strerror or error}") from error
    return made


def _leaf(file: Path) -> str | None:
    try:
        found = _CERTIFICATE.search(file.read_text())
    except OSError:
        return None  # it is the daemon's; the authorities of the system may vouch for it
    return None if found is None else found[0]


def named(*parts: str) -> str:
    """A path of the API with names in it, whatever they hold."""
    return "/api/" + "/".join(quote(part, safe="") for part in parts)


def _with(path: str, query: Mapping[str, object]) -> str:
    return f"{path}?{urlencode(query, doseq=True)}" if query else path


def events_of(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """The names and the data of server-sent events in lines; comments keep a stream alive and say nothing."""
    name, data = "message", list[str]()
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield name, "\n".join(data)
            name, data = "message", []
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)


def _lines(answer: http.client.HTTPResponse) -> Iterator[str]:
    while line := answer.readline():
        yield line.decode(errors="replace").rstrip("\r\n")


def _object(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _fault(said: Mapping[str, Any]) -> Fault:
    place = Place(str(said.get("file", "")), int(said.get("line") or 0), int(said.get("column") or 0))
    return Fault(place, str(said.get("what", "")), str(said.get("hint") or ""))
