"""A rules file's text as a flow, with every fault of it at once."""

from __future__ import annotations

from rules.reader.flows import read_flow
from rules.reader.targets import sink_targets
from rules.reader.values import Scope, compile_within, expressions, read_expr

__all__ = ["Scope", "compile_within", "expressions", "read_expr", "read_flow", "sink_targets"]
