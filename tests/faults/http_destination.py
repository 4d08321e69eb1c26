"""An HTTP server that the sink ``http`` sends to: a real one, over TCP, which a test makes refuse, hang, drop and
forget as that of the wire sink, and answer nonsense.

It keeps what it takes, line by line, in a file. Where its answer reads as a success, however odd, it has kept the
records before.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from destination import Destination
from oracle import Id

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+) *\r\n")
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_SUCCESSES: Mapping[str, bytes] = {
    "one answer too many": _OK + _OK,
    "more than it announced": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and what nobody announced\r\n\r\n",
    "an answer that goes on until the end": b"HTTP/1.0 200\r\n\r\nok",
}
"""Answers that are one, however odd."""
_NONSENSE: Mapping[str, bytes] = {
    "half an answer": b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"took": 1, "err',
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nhalf",
    "a chunk without a size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsize\r\nok\r\n0\r\n\r\n",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "no status": b"HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nok",
    "no version": b"HTTP/nine 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "another protocol": b"220 mail.example.org ESMTP\r\n",
    "a head without an end": b"HTTP/1.1 200 OK\r\n" + b"X-More: %s\r\n" % (b"x" * 200) * 2000,
    "nothing but promises": b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
    "a compressed body that is none": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 8\r\n\r\nnot gzip"
    ),
    "random bytes": b"",
}
"""What is no answer at all."""
EARLY = "an answer before it has read"
KINDS = (*_SUCCESSES, *_NONSENSE, EARLY)


class HttpDestination(Destination):
    """As ``Destination``, over HTTP. Set from any thread:

    - ``nonsense``: how requests are answered, one of ``KINDS``; empty: as they should be.
    """

    def __init__(self, kept: Path, identify: Callable[[bytes], Id | None], key: Callable[[bytes], object]) -> None:
        super().__init__(kept, identify, key)
        self.nonsense = ""
        self.told: Counter[str] = Counter()
        """How often which nonsense was answered."""
        self._rng = random.Random(0)

    @property
    def settings(self) -> str:
        """How the daemon's sink gets here."""
        return f"type: http, url: 'http://127.0.0.1:{self.port}/'"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"HEAD"):
            return await self._answer_head(writer)
        kind = self.nonsense
        if kind == EARLY:
            writer.write(_OK)
            await writer.drain()
        found = _LENGTH.search(head)
        values = (await reader.readexactly(int(found[1]) if found else 0)).splitlines()
        self.largest_frame = max(self.largest_frame, len(values))
        if kind:
            return await self._talk_nonsense(kind, values, writer)
        while self.hanging:
            await asyncio.sleep(0.02)
        if reader.at_eof():
            return False  # it has given up on this request, and will make it again
        if self.drops:
            self.drops -= 1
            return False
        return await self._take(values, writer)

    async def _answer_head(self, writer: asyncio.StreamWriter) -> bool:
        """Whether it is well."""
        while self.hanging:
            await asyncio.sleep(0.02)
        if self.nonsense in _NONSENSE:
            return False
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await writer.drain()
        return True

    async def _talk_nonsense(self, kind: str, values: Sequence[bytes], writer: asyncio.StreamWriter) -> bool:
        """Whoever is told nonsense may send the records once more."""
        self.told[kind] += 1
        if kind not in _NONSENSE:
            self._keep(values, answered=False)
            writer.write(_SUCCESSES.get(kind, b""))
        else:
            if self._rng.random() < 0.5:  # the other half is lost, unless it comes again
                self._keep(values, answered=False)
            writer.write(_NONSENSE[kind] or self._rng.randbytes(300))
        await writer.drain()
        return kind == EARLY

    def _refusals(self, values: Sequence[bytes], ids: Sequence[Id | None]) -> tuple[dict[int, str], bool]:
        """All or nothing."""
        failed, retryable = super()._refusals(values, ids)
        return (dict.fromkeys(range(len(values)), "refused") if failed else {}), retryable

    @staticmethod
    async def _say(writer: asyncio.StreamWriter, failed: dict[int, str], *, retryable: bool) -> bool:
        status = b"200 OK" if not failed else b"503 Busy" if retryable else b"422 Refused"
        writer.write(b"HTTP/1.1 %s\r\nContent-Length: 2\r\n\r\nok" % status)
        await writer.drain()
        return True
