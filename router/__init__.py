"""The router: its public vocabulary, which is all that a connector may know of it."""

from __future__ import annotations

from router.batch import Batch, Constant, Headers, Lease
from router.errors import EndOfStream, NotConnected, WriteError
from router.interfaces import Json, Lag, Positions, Sink, Source
from router.settings import Context, MemoryPositions, PerRecord, Settings
from router.units import Duration, Size

__all__ = [
    "Batch",
    "Constant",
    "Context",
    "Duration",
    "EndOfStream",
    "Headers",
    "Json",
    "Lag",
    "Lease",
    "MemoryPositions",
    "NotConnected",
    "PerRecord",
    "Positions",
    "Settings",
    "Sink",
    "Size",
    "Source",
    "WriteError",
]
