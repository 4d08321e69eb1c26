"""A dead letter is repaired: a replay sends what it is given here, and what came first is kept in the letter."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any

from pydantic import Field

from router.admin import Subject
from router.api.control import writing
from router.api.endpoint import NO_STATE, Call, Endpoint, Failed
from router.api.letters import Letter, shown, the_letter
from router.config.secrets import MASK
from router.letter_amendment import Amendment, OnItsWay
from router.redaction import Redaction
from rules.model import Model


class Repaired(Model):
    """What takes the place of parts of the record; at stage `sink`, of what is to go out. What is not given stays.

    Where the flow has sensitive fields, which are shown to nobody here, the whole payload has to be given anew.
    """

    value: Any = None
    """The payload: any JSON value, which goes out as its JSON text."""
    text: str | None = None
    """The payload as text, in place of `value`."""
    base64: str | None = None
    """The payload as bytes, in place of `value`."""
    key: str | None = None
    headers: Annotated[dict[str, str], Field(max_length=1_000)] | None = None
    """All of them."""

    def amendment(self) -> Amendment:
        """What it means. Raises Failed."""
        try:
            return Amendment(
                self._payload(),
                None if self.key is None else self.key.encode(),
                None
                if self.headers is None
                else [(_plain(name), text.encode()) for name, text in self.headers.items()],
            )
        except (binascii.Error, ValueError, RecursionError) as error:
            raise Failed(400, f"what is given cannot be a record: {error}") from error

    def _payload(self) -> bytes | None:
        given = [name for name in ("value", "text", "base64") if name in self.model_fields_set]
        if len(given) > 1:
            raise Failed(400, f"the payload should be given once, not as {' and '.join(given)}")
        if self.text is not None:
            return self.text.encode()
        if self.base64 is not None:
            return base64.b64decode(self.base64, validate=True)
        return json.dumps(self.value, ensure_ascii=False).encode() if given == ["value"] else None


def _plain(name: str) -> str:
    name.encode()
    return name


async def _amend(subject: Subject, call: Call) -> Letter:
    letter, amendment = await the_letter(subject, call), call.body.amendment()
    if amendment == Amendment():
        raise Failed(400, "nothing is given: value, text or base64, key, headers")
    redaction = Redaction(subject.configuration)
    if redaction.hides_in(letter.flow):
        _see_that_nothing_is_masked(amendment)
    try:
        also = writing(subject, "amend", call, amendment.told(letter))
        amended = await subject.store.amend(letter.id, amendment, also)
    except OnItsWay as error:
        raise Failed(409, str(error)) from error
    except LookupError as error:
        raise Failed(404, str(error)) from error
    return shown(amended, redaction)


def _see_that_nothing_is_masked(amendment: Amendment) -> None:
    """Whoever changes what is shown would write the masks into the record."""
    if amendment.value is None:
        raise Failed(400, "the flow has sensitive fields: the whole payload has to be given anew")
    given = [amendment.value, amendment.key or b"", *(content for _, content in amendment.headers or ())]
    if any(MASK.encode() in content for content in given):
        raise Failed(400, f"{MASK} stands for something that is not shown: it has to be given anew")


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/dead_letters/{id}/amend",
        summary="Have a replay of a dead letter send this; what came first is kept in it",
        handle=_amend,
        answer=Letter,
        body=Repaired,
        failures={
            404: "There is no such dead letter.",
            409: "It is being replayed or moved, or is to be.",
            503: NO_STATE,
        },
    ),
)
