"""Formats: payloads to events and back.

A format is its settings (``Json()``, ``Csv(columns=("id", "name"))``), and its ``codec`` reads and writes payloads. A
new one is a module with a ``Format``, and a line in ``FORMATS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from rules.codecs.avro import Avro
from rules.codecs.csv import Csv
from rules.codecs.format import UNDECODED, Codec, Fields, Format, in_text, is_plain, write_json
from rules.codecs.json import Json
from rules.codecs.logfmt import Logfmt
from rules.codecs.msgpack import MsgPack
from rules.codecs.plain import Bytes, Text
from rules.codecs.protobuf import Protobuf
from rules.codecs.syslog import Syslog
from rules.named import named

__all__ = [
    "FORMATS",
    "UNDECODED",
    "Avro",
    "Bytes",
    "Codec",
    "Csv",
    "DecodeSetting",
    "EncodeSetting",
    "Fields",
    "Format",
    "Json",
    "Logfmt",
    "MsgPack",
    "Protobuf",
    "Syslog",
    "Text",
    "in_text",
    "is_plain",
    "write_json",
]

FORMATS: Final[Mapping[str, type[Format]]] = {
    "json": Json,
    "text": Text,
    "bytes": Bytes,
    "csv": Csv,
    "avro": Avro,
    "protobuf": Protobuf,
    "msgpack": MsgPack,
    "logfmt": Logfmt,
    "syslog": Syslog,
}
"""Every format, by the name that the configuration knows it by."""

# Made at run time of FORMATS; a type checker sees the base.
if TYPE_CHECKING:
    DecodeSetting = Format
    EncodeSetting = Format | None
else:
    DecodeSetting = named(FORMATS)
    EncodeSetting = named(FORMATS, none="same")
