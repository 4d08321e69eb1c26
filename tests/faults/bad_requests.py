"""Requests that no client should send, over raw sockets: made from a seed, each with what may be answered to it."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import zstandard

MAX_BODY = 64 << 10
"""The limit of the source that is fuzzed."""

HEAD = b"POST /events HTTP/1.1\r\nHost: h\r\n"
NOTHING: frozenset[int] = frozenset()
REFUSED = frozenset({400})
TOO_LARGE = frozenset({413})
ANY = frozenset({200, 400, 401, 404, 405, 408, 413, 415, 417, 422, 429})


@dataclass(slots=True)
class Attempt:
    """What is sent, piece by piece, with a pause after each; how it ends; what may come back.

    ``answers`` is how many answers are waited for at most: fewer come when the connection is closed. ``statuses``
    holds every status that an answer may have. ``ending``: ``close``, ``reset`` at once, or ``wait`` for the answers.
    ``records`` are those that must be delivered, once.
    """

    kind: str
    pieces: Sequence[bytes]
    statuses: frozenset[int]
    answers: int = 1
    pause: float = 0.0
    ending: str = "wait"
    records: Sequence[bytes] = field(default_factory=list)


Maker = Callable[[random.Random, int], Attempt]
MAKERS: dict[str, Maker] = {}


def _maker(make: Maker) -> Maker:
    MAKERS[make.__name__.replace("_", " ")] = make
    return make


def attempt(rng: random.Random, number: int, kinds: Sequence[str] = ()) -> Attempt:
    """One of these kinds (of all, if none is named), by chance; every fifth is a good request."""
    if number % 5 == 0:
        return good(rng, number)
    kind = rng.choice(kinds or [*MAKERS])
    made = MAKERS[kind](rng, number)
    made.kind = kind
    return made


def request(body: bytes, *headers: bytes, head: bytes = HEAD) -> bytes:
    """A well-formed request with this body."""
    lines = b"".join(header + b"\r\n" for header in headers)
    return head + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body


def record(number: int, part: int = 0) -> bytes:
    """A record that every rule likes."""
    return b'{"id": "%d/%d", "text": "gr\xc3\xbcn"}' % (number, part)


def good(rng: random.Random, number: int) -> Attempt:
    """What must go well among all the others."""
    records = [record(number, part) for part in range(rng.choice((1, 1, 3, 30)))]
    body = b"\n".join(records)
    if rng.random() < 0.3:
        body = gzip.compress(body, mtime=0)
        return Attempt("good", [request(body, b"Content-Encoding: gzip")], frozenset({200}), records=records)
    if rng.random() < 0.3:
        head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
        return Attempt("good", [head, _chunks(rng, body)], frozenset({200}), records=records)
    whole = request(body)
    cut = rng.randrange(len(whole))
    return Attempt("good", [whole[:cut], whole[cut:]], frozenset({200}), records=records)


def _chunks(rng: random.Random, body: bytes) -> bytes:
    parts = []
    while body:
        size = rng.randint(1, 300)
        parts.append(b"%x\r\n%b\r\n" % (len(body[:size]), body[:size]))
        body = body[size:]
    return b"".join(parts) + b"0\r\n\r\n"


def _noise(rng: random.Random, most: int) -> bytes:
    return rng.randbytes(rng.randint(0, most))


# What is packed


@cache
def _bomb(coding: str, size: int) -> bytes:
    if coding == "gzip":
        return gzip.compress(b"0" * size, mtime=0)
    return zstandard.ZstdCompressor(level=19).compress(b"0" * size)


def _packed(rng: random.Random, body: bytes) -> tuple[bytes, bytes]:
    if rng.random() < 0.5:
        return b"Content-Encoding: gzip", gzip.compress(body, mtime=0)
    return b"Content-Encoding: zstd", zstandard.ZstdCompressor().compress(body)


@_maker
def truncated_packing(rng: random.Random, number: int) -> Attempt:
    """gzip or zstd that ends too early."""
    coding, packed = _packed(rng, record(number) * rng.randint(1, 200))
    return Attempt("", [request(packed[: rng.randrange(len(packed))], coding)], REFUSED)


@_maker
def damaged_packing(rng: random.Random, number: int) -> Attempt:
    """Some bytes of it are others; by chance it is still whole."""
    coding, packed = _packed(rng, record(number) * rng.randint(1, 200))
    data = bytearray(packed)
    for _ in range(rng.randint(1, 5)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return Attempt("", [request(bytes(data), coding)], frozenset({200, 400, 413}))


@_maker
def bomb(rng: random.Random, _: int) -> Attempt:
    """A small body that would be a very large one."""
    coding = rng.choice(("gzip", "zstd"))
    packed = _bomb(coding, rng.choice((1 << 20, 1 << 24, 1 << 25)))
    if coding == "zstd" and rng.random() < 0.5:
        block = (1 << 1 | 131072 << 3).to_bytes(3, "little") + b"\n"
        packed = b"\x28\xb5\x2f\xfd\x00\x50" + block * rng.randint(100, 10_000)
    return Attempt("", [request(packed, b"Content-Encoding: " + coding.encode())], TOO_LARGE)


@_maker
def bomb_in_a_bomb(_: random.Random, __: int) -> Attempt:
    """What is packed twice is unpacked once."""
    packed = gzip.compress(_bomb("gzip", 1 << 25), mtime=0)
    return Attempt("", [request(packed, b"Content-Encoding: gzip")], frozenset({200, 413}))


@_maker
def something_behind_the_packing(rng: random.Random, number: int) -> Attempt:
    """Garbage after its end."""
    coding, packed = _packed(rng, record(number))
    return Attempt("", [request(packed + b"\x01" + _noise(rng, 50), coding)], REFUSED)


@_maker
def very_many_parts(rng: random.Random, _: int) -> Attempt:
    """Thousands of empty ones."""
    part = rng.choice((gzip.compress(b"", mtime=0), zstandard.ZstdCompressor().compress(b"")))
    coding = b"Content-Encoding: gzip" if part.startswith(b"\x1f") else b"Content-Encoding: zstd"
    return Attempt("", [request(part * rng.randint(1001, 3000), coding)], REFUSED)


@_maker
def wrong_packing(rng: random.Random, number: int) -> Attempt:
    """Something else than it says, or a coding that nobody knows."""
    said = rng.choice((b"gzip", b"zstd", b"br", b"deflate", b"gzip, gzip", b"identity, gzip", b"\xff", b"x" * 2000))
    body = rng.choice((record(number), zlib.compress(record(number)), _noise(rng, 300)))
    return Attempt("", [request(body, b"Content-Encoding: " + said)], frozenset({400, 415}))


# Lengths and chunks


@_maker
def too_short_a_body(rng: random.Random, number: int) -> Attempt:
    """Less comes than was said, and then nothing any more."""
    body = record(number)
    head = HEAD + b"Content-Length: %d\r\n\r\n" % (len(body) + rng.randint(1, 10_000))
    return Attempt("", [head + body], NOTHING, answers=0, ending=rng.choice(("close", "reset")))


@_maker
def too_long_a_body(rng: random.Random, number: int) -> Attempt:
    """More comes than was said: it is no request."""
    body = b"not json either" + _noise(rng, 200)
    head = HEAD + b"Content-Length: 5\r\n\r\n"
    return Attempt("", [head + body], frozenset({200, 400}), answers=2)


@_maker
def wrong_length(rng: random.Random, number: int) -> Attempt:
    """No number, several, a negative one, or one beyond everything."""
    said = rng.choice(
        (b"-1", b"+5", b"0x10", b"1e3", b"5 5", b"5, 5", b"abc", b"", b" ", b"9" * 25, b"9" * 400, b"5.0", b"\xb2")
    )
    return Attempt("", [HEAD + b"Content-Length: " + said + b"\r\n\r\n" + record(number)], ANY, answers=2)


@_maker
def two_lengths(rng: random.Random, number: int) -> Attempt:
    """Which of them holds nobody should guess."""
    second = rng.choice((b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity, chunked"))
    body = rng.choice((record(number), b"5\r\nhello\r\n0\r\n\r\n"))
    return Attempt("", [HEAD + second + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body], ANY, answers=3)


@_maker
def too_large_a_body(rng: random.Random, _: int) -> Attempt:
    """Over the limit, with a length or without, all of it or only its announcement."""
    size = MAX_BODY + rng.randint(1, MAX_BODY)
    if rng.random() < 0.3:
        return Attempt("", [HEAD + b"Content-Length: %d\r\n\r\n" % (size * 1000)], TOO_LARGE)
    if rng.random() < 0.5:
        return Attempt("", [request(b"x" * size)], TOO_LARGE)
    body = b"".join(b"%x\r\n%b\r\n" % (1000, b"x" * 1000) for _ in range(size // 1000 + 1)) + b"0\r\n\r\n"
    return Attempt("", [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", body], TOO_LARGE)


@_maker
def wrong_chunks(rng: random.Random, number: int) -> Attempt:
    """Sizes that are none, ends that are missing, extensions and trailers without end."""
    body = rng.choice(
        (
            b"zz\r\nhello\r\n0\r\n\r\n",
            b"-5\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhelloworld\r\n0\r\n\r\n",
            b"5\nhello\n0\n\n",
            b"\r\n\r\n",
            b"f" * 17 + b"\r\nx",
            b"5;" + b"e=x;" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\r\n0\r\n" + b"X-Trailer: y\r\n" * 2000 + b"\r\n",
            b"5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n",
            b"5\r\nhello\r\n0\r\nno trailer\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\r\n00000000000000000000000\r\n\r\n",
        )
    )
    return Attempt("", [HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body], ANY, answers=2)


@_maker
def unfinished_chunks(rng: random.Random, number: int) -> Attempt:
    """The last one never comes."""
    body = _chunks(rng, record(number) * 5)
    data = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body[: rng.randrange(len(body) - 5)]
    return Attempt("", [data], NOTHING, answers=0, ending=rng.choice(("close", "reset")))


@_maker
def wrong_transfer_encoding(rng: random.Random, number: int) -> Attempt:
    """Codings that nobody asked for."""
    said = rng.choice((b"gzip", b"chunked, gzip", b"chunked, chunked", b"xchunked", b"", b"\x0bchunked", b"identity"))
    return Attempt("", [HEAD + b"Transfer-Encoding: " + said + b"\r\n\r\n" + record(number)], ANY, answers=3)


# Contents


@_maker
def broken_text(rng: random.Random, number: int) -> Attempt:
    """No UTF-8, NULs, half of a surrogate: dead letters, or records that are no JSON."""
    body = rng.choice(
        (
            b'{"id": "\xff\xfe"}',
            b'{"id": "\xed\xa0\x80"}',
            b'{"id": "\\ud800"}',
            b"\x00" * 100,
            b"\xef\xbb\xbf" + record(number),
            record(number).decode().encode("utf-16"),
            _noise(rng, 500) or b"x",
            b"\r" * 50 + b"x",
        )
    )
    kind = rng.choice((b"application/json", b"application/x-ndjson", b"text/plain", b"application/json; charset=x"))
    return Attempt("", [request(body, b"Content-Type: " + kind)], frozenset({200, 400, 415}))


@_maker
def deep_nesting(rng: random.Random, _: int) -> Attempt:
    """Deeper than any parser's stack."""
    depth = rng.choice((100, 1000, 10_000, 60_000))
    body = rng.choice(
        (b"[" * depth, b'{"a":' * (depth // 5), b"[" * (depth // 2) + b"]" * (depth // 2), b"[{" * (depth // 2))
    )
    kind = rng.choice((b"application/json", b"application/x-ndjson"))
    return Attempt("", [request(body, b"Content-Type: " + kind)], frozenset({200, 400}))


@_maker
def huge_values(rng: random.Random, _: int) -> Attempt:
    """Numbers of a thousand digits, keys without end, one key a thousand times."""
    body = rng.choice(
        (
            b"9" * 5000,
            b"-1e" + b"9" * 400,
            b'{"a": ' + b"1" * 4500 + b"." + b"1" * 4500 + b"}",
            b"{" + b'"k":1,' * 5000 + b'"k":1}',
            b'{"' + b"k" * 30_000 + b'": 1}',
            b'"' + b"\\u0000" * 5000 + b'"',
        )
    )
    return Attempt("", [request(body, b"Content-Type: application/json")], frozenset({200, 400}))


@_maker
def very_many_records(rng: random.Random, _: int) -> Attempt:
    """More than may be pending, as an array or as lines."""
    if rng.random() < 0.5:
        body = b"[" + b",".join([rng.choice((b"1", b"[]", b'""'))] * 20_000) + b"]"
        return Attempt("", [request(body, b"Content-Type: application/json")], TOO_LARGE)
    return Attempt("", [request(rng.choice((b"1\n", b"\n1")) * 20_000)], TOO_LARGE)


@_maker
def broken_rows(rng: random.Random, _: int) -> Attempt:
    """CSV with quotes that do not close, and rows of any length."""
    body = rng.choice((b'a,b\n"' + b"x\n" * 3000, b'"' * 3001, b"a,b\n" + b"," * 30_000, b"a\n" + b'"a"b,\n' * 500))
    head = b"POST /rows HTTP/1.1\r\nHost: h\r\n"
    return Attempt("", [request(body, b"Content-Type: text/csv", head=head)], frozenset({200, 400}))


@_maker
def rejected_records(rng: random.Random, number: int) -> Attempt:
    """What a flow sends back: some of the records break its contract."""
    body = b"\n".join(rng.choice((record(number), b"{}", b"[", b'{"id": 5}')) for _ in range(50)) + b"\n{}"
    return Attempt("", [request(body, head=b"POST /strict HTTP/1.1\r\nHost: h\r\n")], frozenset({422}))


# Heads


@_maker
def huge_headers(rng: random.Random, number: int) -> Attempt:
    """One that is too long, or too many of them."""
    header = rng.choice(
        (
            b"X-Long: " + b"x" * rng.randint(10_000, 60_000),
            b"x" * 20_000 + b": y",
            b"\r\n".join(b"X-%d: y" % number for number in range(rng.randint(200, 3000))),
            b"Cookie: " + b"a=b; " * 10_000,
        )
    )
    return Attempt("", [HEAD + header + b"\r\nContent-Length: 2\r\n\r\n{}"], frozenset({400, 431}))


@_maker
def broken_headers(rng: random.Random, number: int) -> Attempt:
    """NULs, controls, missing colons, folded lines, names that are none."""
    header = rng.choice(
        (
            b"X-Nul: a\x00b",
            b"X\x00Y: z",
            b"No colon here",
            b": no name",
            b"X Y: z",
            b"X-\xc3\xbc: z",
            b"X: a\r\n folded",
            b"X: a\rb",
            b"X: \x7f\x01\x02",
            b"\tX: z",
            b"Host: another",
            b"Content-Type: " + rng.choice((b"", b";;;", b"a/b/c", b"\xff/\xfe", b'x/y; z="', b"/" * 3000)),
        )
    )
    return Attempt("", [HEAD + header + b"\r\nContent-Length: 2\r\n\r\n{}"], ANY, answers=2)


@_maker
def broken_request_line(rng: random.Random, number: int) -> Attempt:
    """Methods, targets and versions of all kinds."""
    line = rng.choice(
        (
            b"POST /events",
            b"POST",
            b"",
            b"POST  /events  HTTP/1.1",
            b"POST /events HTTP/3.9",
            b"POST /events HTTP/1.",
            b"POST /events FTP/1.1",
            b"post /events HTTP/1.1",
            b"P\x00ST /events HTTP/1.1",
            b"POST http://h:99999/events HTTP/1.1",
            b"POST http://[::1/events HTTP/1.1",
            b"POST http://h/events HTTP/1.1",
            b"POST //events HTTP/1.1",
            b"POST /events/../events HTTP/1.1",
            b"POST /%65vents HTTP/1.1",
            b"POST /events%00 HTTP/1.1",
            b"POST /events%ff%fe HTTP/1.1",
            b"POST /events?" + b"q" * 3000 + b" HTTP/1.1",
            b"POST /" + b"x" * 20_000 + b" HTTP/1.1",
            b"POST * HTTP/1.1",
            b"POST \xff HTTP/1.1",
            b"CONNECT h:80 HTTP/1.1",
            b"OPTIONS * HTTP/1.1",
            b"PRI * HTTP/2.0",
            b"X" * 5000 + b" /events HTTP/1.1",
            b"POST /events HTTP/1.0",
        )
    )
    return Attempt("", [line + b"\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"], ANY, answers=2)


@_maker
def other_methods(rng: random.Random, number: int) -> Attempt:
    """With and without a body."""
    method = rng.choice((b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH", b"QUERY", b"CONNECT"))
    path = rng.choice((b"/events", b"/nowhere", b"/"))
    body = rng.choice((b"", record(number)))
    return Attempt("", [request(body, head=method + b" " + path + b" HTTP/1.1\r\nHost: h\r\n")], ANY)


@_maker
def expectations(rng: random.Random, number: int) -> Attempt:
    """Asked first, and then nothing, or something else."""
    said = rng.choice((b"100-continue", b"100-Continue", b"200-ok", b"", b"100-continue, x"))
    head = HEAD + b"Expect: " + said + b"\r\nContent-Length: 20\r\n\r\n"
    pieces = rng.choice(([head], [head, b"short"], [head, b'{"a": "0123456789"}\n']))
    return Attempt("", pieces, ANY | {100}, answers=1, pause=0.01, ending=rng.choice(("close", "reset")))


@_maker
def upgrades(rng: random.Random, number: int) -> Attempt:
    """Other protocols over the same connection."""
    said = rng.choice((b"websocket", b"h2c", b"TLS/1.0", b"\xff"))
    extra = rng.choice((b"", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n", b"Sec-WebSocket-Key: x\r\n"))
    head = HEAD + b"Connection: Upgrade\r\nUpgrade: " + said + b"\r\n" + extra
    return Attempt("", [request(b"{}", head=head) + rng.choice((b"", b"\x81\x05hello"))], ANY)


@_maker
def credentials(rng: random.Random, number: int) -> Attempt:
    """Signatures and tokens of all forms: none of them is right."""
    signature = rng.choice(
        (b"", b"sha256=", b"sha256=" + b"0" * 64, b"sha1=00", b"sha256=" + b"z" * 64, b"\xff" * 64, b"=" * 5000)
    )
    head = b"POST /signed HTTP/1.1\r\nHost: h\r\nX-Hub-Signature-256: " + signature + b"\r\n"
    if rng.random() < 0.5:
        said = rng.choice((b"", b"Bearer", b"Bearer \xff", b"Bearer " + b"x" * 5000, b"Basic eDp5", b"bearer  wrong"))
        head = b"POST /tokens HTTP/1.1\r\nHost: h\r\nAuthorization: " + said + b"\r\n"
    return Attempt("", [request(record(number), head=head)], frozenset({401}))


@_maker
def idempotency_keys(rng: random.Random, number: int) -> Attempt:
    """Keys that are none."""
    key = rng.choice((b"", b'""', b'"open', b"a b", b"\xff", b"x" * 300, b'"a";b=c', b"a\r\nIdempotency-Key: b"))
    return Attempt("", [request(record(number), b"Idempotency-Key: " + key)], REFUSED)


# Connections


@_maker
def no_http_at_all(rng: random.Random, _: int) -> Attempt:
    """Whatever else may come to a port."""
    data = rng.choice(
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(200),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rng.randbytes(50),
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"\x00" * 1000,
            b"\r\n" * 1000 + b"x",
            rng.randbytes(rng.randint(1, 3000)),
            b"*1\r\n$4\r\nPING\r\n",
        )
    )
    return Attempt("", [data], frozenset({400}), ending=rng.choice(("close", "reset")), answers=0)


@_maker
def nothing_at_all(rng: random.Random, _: int) -> Attempt:
    """A connection that ends before it begins, or in the middle of a head."""
    head = HEAD[: rng.randrange(len(HEAD))]
    return Attempt("", [head], NOTHING, answers=0, ending=rng.choice(("close", "reset")))


@_maker
def nobody_waits(rng: random.Random, number: int) -> Attempt:
    """A good request, whose client has left before the answer."""
    return Attempt("", [request(b'{"left": 1}')], frozenset({200}), answers=0, ending=rng.choice(("close", "reset")))


@_maker
def pipelines(rng: random.Random, number: int) -> Attempt:
    """Many requests at once, good and bad, until one ends the connection."""
    parts = [
        request(b'{"piped": 1}'),
        request(b"", b"Content-Type: application/json"),
        request(b"{}", head=b"POST /nowhere HTTP/1.1\r\nHost: h\r\n"),
        request(b"{}", b"Content-Encoding: br"),
        b"GET /events HTTP/1.1\r\nHost: h\r\n\r\n",
    ]
    count = rng.choice((2, 10, 100))
    data = b"".join(rng.choice(parts) for _ in range(count)) + rng.choice((b"", b"garbage\r\n\r\n", HEAD))
    return Attempt("", [data], ANY, answers=count)


@_maker
def slow_body(rng: random.Random, number: int) -> Attempt:
    """A byte now and then, until patience is over."""
    pieces = [HEAD + b"Content-Length: 1000\r\n\r\n", *([b"x"] * 200)]
    return Attempt("", pieces, frozenset({408}), pause=0.1)


@_maker
def slow_chunks(rng: random.Random, number: int) -> Attempt:
    """The same without a length; or compressed."""
    coding = rng.choice((b"", b"Content-Encoding: gzip\r\n"))
    head = HEAD + coding + b"Transfer-Encoding: chunked\r\n\r\n"
    return Attempt("", [head, *([b"1\r\nx\r\n"] * 200)], frozenset({408}), pause=0.1)


@_maker
def changed_requests(rng: random.Random, number: int) -> Attempt:
    """A good request with some bytes changed anywhere."""
    data = bytearray(request(json.dumps({"changed": number}).encode(), b"Content-Type: application/json"))
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data))
        match rng.randrange(3):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.randint(1, 10)]
            case _:
                data[at:at] = rng.choice((b"\r\n", b"\0", b":", b" ", b"\xff", b"9"))
    return Attempt("", [bytes(data)], ANY, answers=1)
