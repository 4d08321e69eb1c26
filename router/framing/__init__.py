"""Framings: how the records in a stream of bytes are told apart, whatever it is read from or written to.

A connector that carries bytes takes ``framing: FramingSetting | None = None``, and asks ``framing_of`` for what holds:
what is set, or what goes with the format of the payloads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from router.framing.avro import AvroFile
from router.framing.base import PIECE, Framed, Framer, Framing
from router.framing.csv import CsvRows
from router.framing.lines import Newline, Null
from router.framing.msgpack import MsgPackObjects
from router.framing.prefixed import Length, OctetCounted
from router.framing.whole import Whole
from rules.codecs import Format
from rules.named import named

__all__ = ["FRAMINGS", "PIECE", "Framed", "Framer", "Framing", "FramingSetting", "framing_of"]

FRAMINGS: Final[dict[str, type[Framing]]] = {
    "newline": Newline,
    "null": Null,
    "length": Length,
    "octet_counted": OctetCounted,
    "csv": CsvRows,
    "avro": AvroFile,
    "msgpack": MsgPackObjects,
    "whole": Whole,
}
"""Every framing, by the name that the configuration knows it by."""

# Made at run time of FRAMINGS; a type checker sees the base.
if TYPE_CHECKING:
    FramingSetting = Framing
else:
    FramingSetting = named(FRAMINGS)


def framing_of(setting: Framing | None, payloads: Format, *, messages: bool = False) -> Framing:
    """The framing that is set, or the one that goes with the format of the payloads.

    ``messages``: what carries the bytes has bounds of its own (a body, a message), so that what is no text is framed
    by them.
    """
    if setting is None:
        settings = payloads.message_framing if messages else payloads.stream_framing
        setting = FRAMINGS[str(settings["type"])].model_validate(settings)
    return setting.of(payloads)
