"""The OpenAPI 3.1 document, made from the table of endpoints and their models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from router.admin import Subject
from router.api.endpoint import Call, Endpoint, Error, Faults, NoQuery, Said
from router.metrics import version
from rules.model import Model

Json = dict[str, Any]
PATH = "/api/openapi.json"
_REF = "#/components/schemas/{model}"
_NAME = re.compile(r"\{(\w+)\}")


class Document(Said):
    """An OpenAPI document."""

    openapi: str


def document(endpoints: Iterable[Endpoint]) -> Json:
    """The document of these endpoints, of this version of Sluiceway."""
    table = list(endpoints)
    wanted: list[tuple[type[BaseModel], Any]] = [(Error, "serialization"), (Faults, "serialization")]
    for endpoint in table:
        wanted += [(endpoint.query, "validation")]
        wanted += [(endpoint.body, "validation")] if endpoint.body is not None else []
        wanted += [(model, "serialization") for model in _answers(endpoint)]
    schemas, definitions = models_json_schema(list(dict.fromkeys(wanted)), ref_template=_REF)
    refs = {key: schema["$ref"] for key, schema in schemas.items()}
    components = definitions["$defs"]
    paths: dict[str, Json] = {}
    for endpoint in table:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, refs, components)
    used = {endpoint.query.__name__ for endpoint in table}
    shown = {name: schema for name, schema in sorted(components.items()) if name not in used}
    token = {"type": "http", "scheme": "bearer", "description": "`http.token`, where the daemon's file has one."}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sluiceway",
            "version": version(),
            "description": "The admin API of a daemon, on `http.listen`.",
        },
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {"schemas": shown, "securitySchemes": {"token": token}},
    }


def _answers(endpoint: Endpoint) -> Sequence[type[Model]]:
    return list(endpoint.events.values()) if endpoint.answer is None else [endpoint.answer]


def _operation(endpoint: Endpoint, refs: Any, components: Json) -> Json:
    names = _NAME.findall(endpoint.path)
    words = [word for word in re.split(r"[/{}]+", endpoint.path.removeprefix("/api/")) if word]
    parameters: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names
    ]
    if endpoint.query is not NoQuery:
        parameters += _parameters(components[refs[endpoint.query, "validation"].rpartition("/")[2]])
    made: Json = {
        "operationId": "_".join([endpoint.method.lower(), *words]).replace(".", "_"),
        "summary": endpoint.summary,
        "tags": [words[0]],
    }
    if parameters:
        made["parameters"] = parameters
    if endpoint.body is not None:
        schema = {"$ref": refs[endpoint.body, "validation"]}
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return made | {"responses": _responses(endpoint, refs)}


def _parameters(schema: Json) -> list[Json]:
    found = []
    for name, inner in schema["properties"].items():
        own = {key: value for key, value in inner.items() if key not in ("title", "description", "default")}
        options = [option for option in own.get("anyOf", ()) if option != {"type": "null"}]
        own = options[0] if len(options) == 1 else own  # what is not given is null
        if inner.get("default") is not None:
            own["default"] = inner["default"]
        told: Json = {"name": name, "in": "query", "schema": own}
        if "description" in inner:
            told["description"] = inner["description"]
        found.append(told)
    return found


def _responses(endpoint: Endpoint, refs: Any) -> Json:
    if endpoint.answer is not None:
        schema: Json = {"$ref": refs[endpoint.answer, "serialization"]}
        content = {"application/json": {"schema": schema}}
    else:
        events = [f"`{name}`: a `{model.__name__}`" for name, model in endpoint.events.items()]
        content = {"text/event-stream": {"schema": {"type": "string", "description": "; ".join(events)}}}
    made: Json = {"200": {"description": endpoint.summary, "content": content}}
    for status, why in endpoint.all_failures.items():
        model = Faults if status == 422 else Error
        schema = {"$ref": refs[model, "serialization"]}
        made[str(status)] = {"description": why, "content": {"application/json": {"schema": schema}}}
    return made


async def _document(_: Subject, __: Call) -> Document:
    from router.api import ENDPOINTS

    return Document(**document(ENDPOINTS))


DOCUMENT = Endpoint(method="GET", path=PATH, summary="This document", handle=_document, answer=Document, failures={})
