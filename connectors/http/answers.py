"""What HTTP servers answer: read within bounds, and told so that a person can read it and no secret is in it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from aiohttp import ClientResponse

EXCERPT = 500
"""Characters of a body that a message shows."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
_CREDENTIALS = re.compile(r"(?<=://)[^/@?#]*@")


class Answer(Struct, frozen=True):
    """An answer. ``headers`` have their names in lower case; ``body`` is unpacked, and cut when it is not ``whole``."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
    whole: bool

    def __str__(self) -> str:
        where = self.headers.get("location") if 300 <= self.status < 400 else None
        shown = [f"{self.status} {excerpt(self.reason)}".rstrip()]
        shown += [] if where is None else [f"to {excerpt(shown_url(where))}, which is not followed"]
        return " ".join(shown) + (f": {told}" if (told := excerpt(self.body)) else "")

    @property
    def is_success(self) -> bool:
        """Whether it is 2xx."""
        return 200 <= self.status < 300

    @property
    def retry_after(self) -> float | None:
        """The seconds that the server asks to wait (RFC 9110, section 10.2.3); None when it does not say."""
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return float(text[:12])
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
        except (ValueError, OverflowError):
            return None

    @property
    def media_type(self) -> str:
        """What the body is said to be, in lower case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self) -> Any:
        """The body as JSON, with integers of any size. Raises ValueError, with the place of the fault."""
        import msgspec

        try:
            return msgspec.json.decode(self.body)
        except RecursionError as error:
            raise ValueError("nested too deep to be read") from error

    def content(self) -> Any:
        """The body as expressions see it: JSON where it is that, else text."""
        try:
            return self.json()
        except ValueError:
            return self.body.decode("utf-8", "replace")


async def read_at_most(answer: ClientResponse, most: int) -> tuple[bytes, bool]:
    """The body, or its beginning, and whether that is all of it. What is left of it is not waited for.

    Raises aiohttp's errors when it breaks off.
    """
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > most:
            answer.close()
            return bytes(body[:most]), False
    return bytes(body), True


def excerpt(body: bytes | str, most: int = EXCERPT) -> str:
    """The beginning of a text on one line, with what is no text escaped."""
    text = body[: most * 4].decode("utf-8", "backslashreplace") if isinstance(body, bytes) else body
    text = re.sub(r"\s+", " ", text).strip()
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", cut)


def shown_url(url: str) -> str:
    """A URL without what may be secret in it: credentials, the query and the fragment."""
    return _CREDENTIALS.sub("", re.split(r"[?#]", url, maxsplit=1)[0])
