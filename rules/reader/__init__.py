"""A rules file's text as a flow, with every fault of it at once."""

from __future__ import annotations

from rules.reader.flows import read_flow
from rules.reader.values import read_value

__all__ = ["read_flow", "read_value"]
