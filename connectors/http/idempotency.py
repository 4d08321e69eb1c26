"""Which requests have been answered already, by their ``Idempotency-Key``, across restarts."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated

from msgspec import Struct
from pydantic import Field

from connectors.http.reply import Refusal
from router import Duration, Json, Positions, Settings

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

log = logging.getLogger(__name__)

LONGEST = 255
"""Characters that a key may have."""

_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"')  # a string of RFC 9651, section 3.3.3
_BARE = re.compile(r"[!#-+\-.-:<-\[\]-~]+")  # what many clients send: visible, without `"`, `,`, `;`, `\`
_AT_ONCE = 50
"""Expired keys that are forgotten with one save, besides as many as it adds."""


class Idempotency(Settings):
    """How a request that is sent again is known."""

    header: Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")] = "Idempotency-Key"
    """The header with the key: what is the same whenever the same request is sent again, and never for another one.
    GitHub has `X-GitHub-Delivery`, Standard Webhooks have `webhook-id`."""
    window: Annotated[Duration, Field(gt=0)] = 86_400.0
    """How long a key is remembered after its request was answered."""
    max_keys: Annotated[int, Field(gt=0)] = 100_000
    """How many are remembered at most. With more, the oldest are forgotten before their time, and a warning says so."""


def check_same(one: str, other: str) -> None:
    """Raises Refusal when two requests with the same key have different fingerprints."""
    if one != other:
        raise Refusal(422, "this idempotency key was used with another body")


def read_key(header: str) -> str:
    """The key that a header says, quoted or not. Raises Refusal for what is none."""
    header = header.strip()
    found = _QUOTED.fullmatch(header)
    key = re.sub(r"\\(.)", r"\1", found[1]) if found else header if _BARE.fullmatch(header) else ""
    if not key or len(key) > LONGEST:
        raise Refusal(400, f"the idempotency key should be a text in quotes, of up to {LONGEST} characters")
    return key


def fingerprint(body: bytes, content_type: str) -> str:
    """What tells bodies apart: of what was sent, unpacked, and what it was said to be."""
    digest = hashlib.blake2b(content_type.encode("utf-8", "surrogateescape") + b"\n" + body, digest_size=15)
    return base64.b64encode(digest.digest()).decode()


def identity(source: str, key: str, fingerprint: str) -> str:
    """What tells requests apart, whatever source they come to."""
    digest = hashlib.blake2b(f"{source}\n{key}\n{fingerprint}".encode("utf-8", "surrogateescape"), digest_size=12)
    return base64.b64encode(digest.digest()).decode()


class Answered(Struct, frozen=True):
    """A request that was answered: when, in Unix seconds, with which body, and how many records were accepted."""

    at: int
    fingerprint: str
    accepted: int


class Memory:
    """The keys of answered requests, oldest first, and where they are kept.

    ``load`` them before anything else. A key is found once ``keep`` has returned.
    """

    def __init__(self, settings: Idempotency, positions: Positions, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._positions = positions
        self._clock = clock
        self._answered: dict[str, Answered] = {}
        self._warned = False

    def __len__(self) -> int:
        return len(self._answered)

    def key_in(self, headers: CIMultiDictProxy[str]) -> str:
        """The key of a request with these headers; empty when it has none. Raises Refusal for what is no key."""
        header = headers.get(self._settings.header)
        if header is None:
            return ""
        if len(headers.getall(self._settings.header)) > 1:
            raise Refusal(400, f"there should be one {self._settings.header}")
        return read_key(header)

    def load(self) -> None:
        """Remember what was kept, by this process or one before it. Raises StateError."""
        found = {key: _entry(value) for key, value in self._positions.load().items()}
        self._answered = dict(sorted(found.items(), key=lambda item: item[1].at))

    def find(self, key: str) -> Answered | None:
        """What was answered to a key within the window."""
        found = self._answered.get(key)
        return found if found is not None and not self._is_over(found) else None

    async def keep(self, requests: Mapping[str, tuple[str, int]]) -> None:
        """Remember requests, by key their fingerprint and how many records were accepted, and forget those whose time
        is over. They survive ``kill -9`` when it returns. Raises StateError, and then remembers none."""
        now = int(self._clock())
        added = {key: Answered(now, print_, accepted) for key, (print_, accepted) in requests.items()}
        over = self._to_forget(len(added), added)
        entries: dict[str, Json] = dict.fromkeys(over)
        entries.update({key: [one.at, one.fingerprint, one.accepted] for key, one in added.items()})
        await self._positions.save(entries)
        for key in (*over, *added):
            self._answered.pop(key, None)
        self._answered.update(added)

    def _to_forget(self, coming: int, added: Mapping[str, Answered]) -> Sequence[str]:
        """The oldest, as far as they are over or too many; a bounded number of them."""
        too_many = len(self._answered) + coming - self._settings.max_keys
        oldest = list(islice(self._answered.items(), coming + _AT_ONCE))
        forgotten = [key for number, (key, one) in enumerate(oldest) if number < too_many or self._is_over(one)]
        if too_many > 0 and oldest and not self._warned and not self._is_over(oldest[0][1]):
            self._warned = True
            log.warning(
                "more than %d idempotency keys within %g s: the oldest are forgotten before their time",
                self._settings.max_keys,
                self._settings.window,
            )
        return [key for key in forgotten if key not in added]

    def _is_over(self, one: Answered) -> bool:
        return one.at + self._settings.window <= self._clock()


def _entry(value: Json) -> Answered:
    match value:
        case [int(at), str(print_), int(accepted)]:
            return Answered(at, print_, accepted)
    return Answered(0, "", 0)
