"""Generated code that holds records to a contract that is a schema or a model."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import Final

from rules.cel.compile_code import Code
from rules.contract import Validator
from rules.contract_types import Check, Kept
from rules.projection import Part, Projection, Tree

_MODULES: Final = re.compile(r"\b(typing|msgspec|rules\.contract_types)\.(?=[A-Z])")


class ContractWriter:
    """Writes what asks whether a record keeps its contract, for a flow that reads the fields in ``tree`` (None: all).

    Where the schema has types, to decode a record is to hold it to them. A flow that reads the whole event decodes it
    to the types first, which is sooner done than to take the event through the schema.
    """

    def __init__(self, validator: Validator, tree: Tree | None) -> None:
        types = validator.types
        self._validator = validator
        self._projected = None if types is None or tree is None else types.keeping(tree)
        self._alone = None if types is None else types.keeping({})

    @property
    def projection(self) -> Projection | None:
        """What decodes the fields that the flow reads, of a record that keeps to the types; None if there is none."""
        return None if self._projected is None else self._projected.projection

    def write_before(self, code: Code, *, projected: bool) -> None:
        """Write, before the loop, which types there are, and what asks a payload whose event is decoded whole."""
        if projected and self._projected is not None:
            _write_types(code, self._projected.projection.root)
            return
        code.namespace["holds"] = self._validator.holds
        if self._alone is None:
            return
        _write_types(code, self._alone.projection.root)
        code.namespace["decode_kept"] = self._alone.projection.decode
        with code.block("def keeps(raw):"):
            with code.block("try:"):
                code.line("event = decode_kept(raw)")
                _write_checks(code, self._alone)
            with code.block("except Exception:"):
                code.line("return False")
            code.line("return True")

    def write(self, code: Code, *, projected: bool) -> None:
        """Write what leaves a record to the exact interpreter that does not keep the contract for certain."""
        if projected and self._projected is not None:
            _write_checks(code, self._projected)
        elif self._alone is not None:
            code.line("if not keeps(raw) and not holds(event, raw): raise Surprise")
        else:
            code.line("if not holds(event, raw): raise Surprise")


def _write_types(code: Code, part: Part) -> None:
    """Write for people what each attribute of a decoded map is."""
    types = part.cls.__annotations__
    for name, (attribute, below) in part.fields.items():
        found = types[attribute]
        shown = _MODULES.sub("", found.__name__ if isinstance(found, type) else str(found))
        code.line(f"# {part.cls.__name__}.{attribute}, {name!r}: {shown}")
        if below is not None:
            _write_types(code, below)


def _write_checks(code: Code, kept: Kept) -> None:
    for check in kept.checks:
        _write_check(code, check, kept.projection.root)


def _write_check(code: Code, check: Check, part: Part) -> None:
    """Write one: what is above the field may be no map, which the types have seen to, and the field may be missing."""
    *above, last = check.path
    here = "event"
    with ExitStack() as inside:
        for name in above:
            attribute, below = part.fields[name]
            assert below is not None  # noqa: S101 - fields that are checked are those of maps decoded as objects
            here, part = code.let(f"{here}.{attribute}"), below
            code.namespace[part.cls.__name__] = part.cls
            inside.enter_context(code.block(f"if {here}.__class__ is {part.cls.__name__}:"))
        found = code.let(f"{here}.{part.fields[last][0]}")
        keeps = code.outside(check.keeps, "keeps")
        code.line(f"if {found} is not M and not {keeps}({found}): raise Surprise")
