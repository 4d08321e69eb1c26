"""The tables of the daemon's file: loaded before the first record, looked up by expressions, read again in time."""

from __future__ import annotations

from router.tables.loaded import Tables
from router.tables.settings import AnyTable, TableSpec

__all__ = ["AnyTable", "TableSpec", "Tables"]
