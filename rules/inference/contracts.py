"""The type that a flow's contract gives its records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rules.codecs import Format
from rules.flow import Contract
from rules.inference.kinds import DYNAMIC, Type, join
from rules.inference.schemas import as_other_formats_hold_it, type_of_schema


def type_of_contract(contract: Contract, decodes: Iterable[Format | None], models: Mapping[str, Any]) -> Type:
    """What a record is that keeps to the contract, however it is decoded, which is None where that is not known. Where
    nothing is said, it is dynamic."""
    formats = list(decodes) or [None]
    if contract.schema is not None:
        known = type_of_schema(contract.schema)
        loose = as_other_formats_hold_it(known)
        is_plain = [decode is not None and decode.codec.decodes_plain for decode in formats]
        return join(*(known if plain else loose for plain in is_plain))
    model = None if contract.model is None else models.get(contract.model)
    if model is not None and all(decode is not None and decode.type == "json" for decode in formats):
        from rules.inference.models import type_of_model

        return type_of_model(model)
    return DYNAMIC
