"""What HTTP servers answer: read within bounds, and told so that a person can read it and no secret is in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from router import NotConnected

if TYPE_CHECKING:
    from aiohttp import ClientResponse

EXCERPT = 500
"""Characters of a body that a message shows."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
_CREDENTIALS = re.compile(r"(?<=://)[^/@?#]*@")


async def read_at_most(answer: ClientResponse, most: int) -> bytes:
    """The body. Raises NotConnected when it is larger than ``most`` bytes; aiohttp's errors when it breaks off."""
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > most:
            raise NotConnected(f"the answer of {shown_url(str(answer.url))} is larger than {most} bytes")
    return bytes(body)


def excerpt(body: bytes | str, most: int = EXCERPT) -> str:
    """The beginning of a text on one line, with what is no text escaped."""
    text = body[: most * 4 + 4].decode("utf-8", "backslashreplace") if isinstance(body, bytes) else body
    text = re.sub(r"\s+", " ", text).strip()
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", cut)


def shown_url(url: str) -> str:
    """A URL without what may be secret in it: credentials, the query and the fragment."""
    return _CREDENTIALS.sub("", re.split(r"[?#]", url, maxsplit=1)[0])
