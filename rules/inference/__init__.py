"""Expressions, checked before they run: what a contract says of the record, and what follows from it for each rule."""

from __future__ import annotations

from rules.inference.contracts import type_of_contract
from rules.inference.expressions import type_alone
from rules.inference.flows import Findings, Templates, Unreached, check_flow
from rules.inference.kinds import DYNAMIC, Type, describe, loosened
from rules.inference.schemas import type_of_schema
from rules.inference.walk import Finding

__all__ = [
    "DYNAMIC",
    "Finding",
    "Findings",
    "Templates",
    "Type",
    "Unreached",
    "check_flow",
    "describe",
    "loosened",
    "type_alone",
    "type_of_contract",
    "type_of_schema",
]
