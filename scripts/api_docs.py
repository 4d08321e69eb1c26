"""The part of docs/api.md that lists the endpoints, made from their table.

``python -m scripts.api_docs`` writes it; with ``--check`` it says whether it is what the code gives, and fails if not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from router.api import ENDPOINTS
from router.api.endpoint import Endpoint
from router.api.openapi import Json, document
from scripts.environment import ROOT
from scripts.made_part import MadePart


def listed() -> str:
    """What stands between the two comments."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    whole = document(ENDPOINTS)
    yield "| | |\n|---|---|"
    for endpoint in ENDPOINTS:
        yield f"| `{endpoint.method} {endpoint.path}` | {endpoint.summary} |"
    schemas = whole["components"]["schemas"]
    for endpoint in ENDPOINTS:
        operation = whole["paths"][endpoint.path][endpoint.method.lower()]
        yield f"\n### {endpoint.method} {endpoint.path}\n\n{endpoint.summary}.\n"
        yield from _given(operation, endpoint, schemas)
        yield from _answers(operation, endpoint)


def _given(operation: Json, endpoint: Endpoint, schemas: Json) -> Iterator[str]:
    rows = [
        (each["name"], each.get("description", "")) for each in operation.get("parameters", ()) if each["in"] == "query"
    ]
    if endpoint.body is not None:
        schema = schemas[endpoint.body.__name__]
        rows += [(name, each.get("description", "")) for name, each in schema.get("properties", {}).items()]
    if rows:
        where = "parameter" if endpoint.body is None else "in the body"
        yield f"| {where} | |\n|---|---|"
        yield from (f"| `{name}` | {' '.join(text.split()).replace('|', chr(92) + '|')} |" for name, text in rows)
        yield ""


def _answers(operation: Json, endpoint: Endpoint) -> Iterator[str]:
    if endpoint.answer is not None:
        yield f"Answers with `{endpoint.answer.__name__}`;"
    else:
        yield "Answers with events: " + ", ".join(
            f"`{name}` with `{model.__name__}`" for name, model in endpoint.events.items()
        )
    told = [f"{status}: {why['description']}" for status, why in operation["responses"].items() if status != "200"]
    yield "or, with `Error` or `Faults`:\n\n" + "\n".join(f"- {line}" for line in told)


PART = MadePart(ROOT / "docs" / "api.md", listed, "api_docs")

if __name__ == "__main__":
    PART.main(sys.argv[1:])
