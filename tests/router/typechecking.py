"""What is found in a flow with a contract: helpers of the tests of checked expressions."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from router.config import load
from rules.faults import Refused

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "type": {"enum": ["order", "visit"]},
        "amount": {"type": "number", "minimum": 0, "maximum": 1000},
        "count": {"type": "integer"},
        "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
        "open": {"type": "object", "properties": {"country": {"type": "string"}}},
    },
    "$defs": {
        "item": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"sku": {"type": "string"}, "parts": {"type": "array", "items": {"$ref": "#/$defs/item"}}},
        }
    },
}
DAEMON = "sources: {s: {type: memory}}\nflows: [flow.yaml]\nsinks: {x: {type: memory}, y: {type: memory}}\n"


def found(
    folder: Path, rules: str, *, schema: Any = SCHEMA, contract: str = "{schema: s.json}", daemon: str = DAEMON
) -> list[str]:
    """The faults and warnings of a flow, whose rules these are; without their file, but for the daemon's."""
    (folder / "s.json").write_text(json.dumps(schema))
    text = textwrap.dedent(rules)
    (folder / "flow.yaml").write_text(f"from: s\ncontract: {contract}\n{text}")
    (folder / "sluiceway.yaml").write_text(daemon)
    try:
        refused = Refused([], load([folder / "sluiceway.yaml"], {}).warnings)
    except Refused as error:
        refused = error
    lines = [*map(str, refused.faults), *(f"warning {fault}" for fault in refused.warnings)]
    lines = [line.replace(f"{folder}/", "").replace("flow.yaml:", "", 1) for line in lines]
    return [line for line in lines if "no flow sends anything" not in line]


def when(folder: Path, expression: str, **more: Any) -> list[str]:
    """What is found in a condition, without the place where it begins."""
    rules = f"rules:\n- {{name: a, when: {json.dumps(expression)}, to: x}}\n- {{name: rest, to: y}}\n"
    return [line.replace("4:20: ", "") for line in found(folder, rules, **more)]
