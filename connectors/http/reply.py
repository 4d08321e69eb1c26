"""What is answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

RETRY = {"Retry-After": "1"}
REPLAYED = {"Idempotency-Replayed": "true"}


class Refusal(Exception):
    """An answer other than 200: its status, and why, for whoever sent the request.

    ``close``: the connection ends with it. ``more`` stands beside the reason in the answer.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        headers: Mapping[str, str] | None = None,
        *,
        close: bool = False,
        more: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = headers or {}
        self.close = close
        self.more = more or {}


Outcome = int | Refusal
"""How many records of a request were accepted, or why none was."""


def busy(why: str = "too much is waiting to be delivered") -> Refusal:
    """For now there is no room for it."""
    return Refusal(429, why, RETRY)


def stopping() -> Refusal:
    """The source stops, begins anew, is paused, or is gone while others have its address."""
    return Refusal(503, "this source is closed for now: nothing of this request is promised", RETRY, close=True)


def too_large(limit: int) -> Refusal:
    """A body of more bytes than it may have."""
    return Refusal(413, f"the body is larger than {limit} bytes", close=True)


def reply(outcome: Outcome, headers: Mapping[str, str] | None = None) -> web.Response:
    """The answer that tells an outcome."""
    from aiohttp import web

    headers = headers or {}
    if isinstance(outcome, int):
        return web.Response(body=b'{"accepted": %d}' % outcome, content_type="application/json", headers=headers)
    text = json.dumps({"error": outcome.reason, **outcome.more}, ensure_ascii=False)
    answer = web.Response(
        body=text.encode("utf-8", "replace"),
        status=outcome.status,
        content_type="application/json",
        headers={**outcome.headers, **headers},
    )
    if outcome.close:
        answer.force_close()
    return answer
