"""The body of a request: received whole within bounds, and unpacked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from connectors.http.reply import Refusal, too_large
from router import NotConnected

if TYPE_CHECKING:
    from aiohttp import web

Coding = Literal["gzip", "zstd"]

CODINGS: dict[str, Coding | None] = {"": None, "identity": None, "gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}
"""What a body may be packed with, by its name in ``Content-Encoding`` (RFC 9110, section 8.4.1)."""

_STEPS: dict[Coding, int] = {"gzip": 4096, "zstd": 256}
"""Packed bytes to unpack at a time: gzip makes at most 4 MiB of these, zstd 8 MiB (4 bytes may hold 128 KiB)."""
_SLICE = 256 << 10
"""Unpacking yields to the loop about this often, in bytes."""
_MEMBERS = 1000
"""How many parts, each packed by itself, a body may have."""

Hold = Callable[[int, bool], None]
"""Called with how many bytes of a request are to be held, and whether more are to come. Raises Refusal when there is no
room for them."""


def coding_of(header: str) -> Coding | None:
    """How a body is packed, from its ``Content-Encoding``. Raises Refusal for what is not understood."""
    try:
        coding = CODINGS[header.strip().lower()]
    except KeyError as error:
        what = "send the body as it is, or packed once, with gzip or zstd"
        raise Refusal(415, what, {"Accept-Encoding": "gzip, zstd"}) from error
    if coding == "zstd":
        _make_sure_of_zstd()
    return coding


async def receive(http: web.BaseRequest, limit: int, hold: Hold) -> bytes:
    """All of a body, as it was sent. Raises Refusal when it does not arrive whole or is larger than ``limit``."""
    from aiohttp import web

    content = http.content
    try:
        if content.is_eof():  # most come in one piece with their headers
            body = content.read_nowait()
            check_size(len(body), limit)
            hold(len(body), False)
            return body
        if http.headers.get("Expect", "").lower() == "100-continue":
            await http.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            http.writer.output_size = 0  # else an answer is taken to have begun
        received = bytearray()
        while chunk := await content.readany():
            received += chunk
            check_size(len(received), limit)
            hold(len(received), True)
    except (web.RequestPayloadError, ConnectionError) as error:
        raise Refusal(400, "the body did not arrive whole", close=True) from error
    return bytes(received)


async def unpack(packed: bytes, coding: Coding, limit: int, hold: Hold) -> bytes:
    """What was packed. Raises Refusal when it is not whole, is followed by something else, or is larger than ``limit``
    once unpacked."""
    from connectors.file.packed import Corrupt, Unpacker

    unpacker = Unpacker(coding, members=_MEMBERS)
    content = bytearray()
    done = 0
    try:
        for start in range(0, len(packed), _STEPS[coding]):
            content += unpacker.unpack(packed[start : start + _STEPS[coding]])
            check_size(len(content), limit)
            hold(len(content), False)
            if start + len(content) - done > _SLICE:
                done = start + len(content)
                await asyncio.sleep(0)
    except Corrupt as error:
        raise Refusal(400, f"the body is {error}") from error
    if not unpacker.between or unpacker.whole != len(packed):
        raise Refusal(400, f"the body is not whole: its {coding} ends too early or too late")
    return bytes(content)


def check_size(size: int, limit: int) -> None:
    """Raises Refusal for a body that is larger than it may be."""
    if size > limit:
        raise too_large(limit)


def _make_sure_of_zstd() -> None:
    from connectors.file.packed import Unpacker

    try:
        Unpacker("zstd")
    except NotConnected as error:
        raise Refusal(
            415, f"a body packed with zstd is not understood here: {error}", {"Accept-Encoding": "gzip"}
        ) from error
