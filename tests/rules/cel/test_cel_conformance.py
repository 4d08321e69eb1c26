"""CEL's public conformance cases, where they are to be found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rules.cel.errors import CelError
from rules.cel.evaluator import evaluator
from rules.cel.parser import parse
from rules.cel.values import TYPES, Duration, Timestamp, Type, UInt, equal, make_map

CASES = Path(__file__).parents[4] / "shared" / "cel-conformance"
# Macros that exist only in the suite's own tools.
LEFT_OUT = {"block_ext"}
FILES = sorted(path for path in CASES.glob("*.json") if path.stem not in LEFT_OUT)

pytestmark = pytest.mark.skipif(not FILES, reason=f"the conformance cases are not at {CASES}")


def value_of(typed: dict[str, Any]) -> object:
    ((kind, content),) = typed.items()
    match kind:
        case "uint":
            return UInt(content)
        case "double":
            return float(content)
        case "bytes":
            return bytes.fromhex(content)
        case "list":
            return [value_of(element) for element in content]
        case "map":
            return make_map((value_of(key), value_of(value)) for key, value in content)
        case "type":
            return TYPES.get(content, Type(content))
        case "timestamp":
            return Timestamp(content["seconds"], content["nanos"])
        case "duration":
            return Duration(content["seconds"], content["nanos"])
        case _:
            return content


def same(left: object, right: object) -> bool:
    """Equal and of one type; NaN is NaN, and 0.0 is not -0.0."""
    if isinstance(left, float) or isinstance(right, float):
        return repr(left) == repr(right)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and equal(left, right)


def outcome(case: dict[str, Any]) -> object:
    # A case without the static checker expects unknown functions to fail when they are called, and no earlier.
    try:
        run = evaluator(parse(case["expr"], check=not case.get("disable_check")))
        return run({name: value_of(value) for name, value in case["bindings"].items()})
    except CelError as error:
        return error


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_case_of_the_file_gives_the_value_or_the_error_that_it_expects(path: Path) -> None:
    failures = []
    for case in json.loads(path.read_text()):
        got = outcome(case)
        expected = case["expect"]
        right = isinstance(got, CelError) if "error" in expected else same(got, value_of(expected["value"]))
        if not right:
            failures.append(f"{case['name']}: {case['expr']} expects {expected}, got {got!r}")
    assert not failures, "\n".join(failures)
