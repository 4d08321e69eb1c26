"""The endpoints as routes of aiohttp: every request is guarded, read, answered, and answered in JSON whatever fails."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from router.admin import Subject
from router.api.endpoint import Answer, Call, Endpoint, Error, Failed, Faults, FaultTold, NoQuery
from router.api.guard import NO_TOKEN, Guard
from router.errors import StateError
from router.letter_filter import BadChoice
from rules.faults import Refused
from rules.model import Model, Outside

log = logging.getLogger(__name__)

PREFIX = "/api/"
MAX_BODY = 4 << 20
SAFE = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class Api:
    """The endpoints of one daemon."""

    def __init__(self, subject: Subject, guard: Guard, endpoints: tuple[Endpoint, ...]) -> None:
        self._subject = subject
        self._guard = guard
        self._endpoints = endpoints
        self._turn = asyncio.Semaphore(1)

    def mount(self, app: web.Application) -> None:
        """Put the routes into an application, which must have ``middleware``."""
        for endpoint in self._endpoints:
            app.router.add_route(endpoint.method, endpoint.path, self._handler(endpoint))

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what is not granted; what fails below is told as JSON."""
        if not request.path.startswith(PREFIX):
            return await handler(request)
        refused = self._guard.refuses(request)
        if refused is not None:
            return _failure(*refused)
        try:
            return await handler(request)
        except web.HTTPException as error:  # no such path, no such method
            more = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            what = "there is no such page" if error.status == web.HTTPNotFound.status_code else error.reason
            return _failure(error.status, what, more)
        except Exception as error:
            log.error("%s %s failed: %s", request.method, request.path, type(error).__name__, exc_info=error)
            return _failure(500, "this failed in an unforeseen way; the log says how")

    def _handler(self, endpoint: Endpoint) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                query, body = _query(endpoint, request), await _body(endpoint, request)
                call = Call(request.match_info, query, body, _actor(request), request)
                async with self._turn if endpoint.alone else contextlib.nullcontext():
                    answer = await endpoint.handle(self._subject, call)
            except Failed as failed:
                return self._failure(failed.status, str(failed))
            except BadChoice as bad:
                return self._failure(400, str(bad))
            except StateError as error:
                return self._failure(503, str(error))
            except Refused as refused:
                return self._json(Faults(faults=list(map(FaultTold.of, refused.faults))), 422)
            return self._answer(answer)

        return handle

    def _answer(self, answer: Answer) -> web.StreamResponse:
        return answer if isinstance(answer, web.StreamResponse) else self._json(answer)

    def _failure(self, status: int, error: str) -> web.Response:
        return _failure(status, self._subject.masked(error))

    def _json(self, answer: Model, status: int = 200) -> web.Response:
        shown = masked(answer.model_dump(mode="json", by_alias=True), self._subject.masked)
        return response(json.dumps(shown, ensure_ascii=False), status)


def masked(value: Any, mask: Callable[[str], str]) -> Any:
    """JSON values without what must not be shown."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {mask(name): masked(inner, mask) for name, inner in value.items()}
    return [masked(inner, mask) for inner in value] if isinstance(value, list) else value


def response(text: str, status: int = 200, more: Mapping[str, str] | None = None) -> web.Response:
    """An answer that is JSON already."""
    return web.Response(
        body=text.encode(errors="replace"),
        status=status,
        content_type="application/json",
        headers={**SAFE, **(more or {})},
    )


def _failure(status: int, error: str, more: Mapping[str, str] | None = None) -> web.Response:
    if error == NO_TOKEN:
        more = {"WWW-Authenticate": "Bearer"}
    return response(json.dumps({"error": error}, ensure_ascii=False), status, more)


def _actor(request: web.Request) -> str:
    return f"http {request.remote or 'somebody'}"


def _query(endpoint: Endpoint, request: web.Request) -> Model:
    """The parameters, of which those may repeat that are lists. Raises Failed."""
    given: dict[str, object] = {}
    fields = endpoint.query.model_fields
    for name in dict.fromkeys(request.query):
        texts = [Outside(text) for text in request.query.getall(name)]
        is_list = name in fields and "list" in str(fields[name].annotation)
        if not is_list and len(texts) > 1:
            raise Failed(400, f"{name}: should be given once")
        given[name] = texts if is_list else texts[0]
    if endpoint.query is NoQuery:
        return NoQuery()  # others add parameters that mean nothing, such as against caches
    return _validated(endpoint.query, given)


async def _body(endpoint: Endpoint, request: web.Request) -> Model | None:
    """The body. Raises Failed."""
    if endpoint.method != "POST":
        return None
    try:
        text = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise Failed(413, f"the body is larger than {MAX_BODY:,} bytes") from error
    except web.RequestPayloadError as error:
        raise Failed(400, f"the body cannot be read: {error}") from error
    if request.content_type != "application/json":
        raise Failed(415, "a write takes JSON alone: Content-Type: application/json")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Failed(415, "a write takes its JSON as it is: no Content-Encoding")
    if endpoint.body is None:
        return None
    try:
        data = json.loads(text) if text.strip() else {}
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Failed(400, r"the body holds half of a surrogate pair, such as \ud800 alone, which is no text") from error
    except (ValueError, RecursionError) as error:
        raise Failed(400, f"the body is not JSON: {error}") from error
    return _validated(endpoint.body, data)


def _validated(model: type[Model], data: object) -> Model:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        told = [f"{'.'.join(map(str, detail['loc'])) or 'the body'}: {detail['msg']}" for detail in details[:10]]
        raise Failed(400, "; ".join(told)) from error


__all__ = ["MAX_BODY", "Answer", "Api", "Error", "masked", "response"]
