"""The router: its public vocabulary, which is all that a connector may know of it."""

from __future__ import annotations

from router.batch import Batch, Headers, Lease
from router.errors import EndOfStream, NotConnected, Unavailable, WriteError
from router.expression import Expression, Template, Variables
from router.framing import FRAMINGS, PIECE, Framed, Framer, Framing, FramingSetting, framing_of
from router.interfaces import Json, Lag, Peeks, Positions, Rejects, Settles, Sink, Source
from router.settings import Context, MemoryPositions, PerRecord, Settings
from router.tls import ClientTls, ServerTls
from router.units import Address, Duration, Size, split_address
from rules.columns import Constant
from rules.contract import Violation

__all__ = [
    "FRAMINGS",
    "PIECE",
    "Address",
    "Batch",
    "ClientTls",
    "Constant",
    "Context",
    "Duration",
    "EndOfStream",
    "Expression",
    "Framed",
    "Framer",
    "Framing",
    "FramingSetting",
    "Headers",
    "Json",
    "Lag",
    "Lease",
    "MemoryPositions",
    "NotConnected",
    "Peeks",
    "PerRecord",
    "Positions",
    "Rejects",
    "ServerTls",
    "Settings",
    "Settles",
    "Sink",
    "Size",
    "Source",
    "Template",
    "Unavailable",
    "Variables",
    "Violation",
    "WriteError",
    "framing_of",
    "split_address",
]
