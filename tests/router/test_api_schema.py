"""The API held against its own OpenAPI document by schemathesis: whatever is asked, nothing fails in an unforeseen way,
and every answer is one that the document describes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
import schemathesis
from api_daemons import project
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from router.api import ENDPOINTS
from router.api.openapi import document
from router.config import load
from router.daemon import Daemon

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
EXAMPLES = 6
EVENTS = "/api/flows/{name}/tap"
"""A stream never ends, so it is asked for below by names that are not there alone."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a daemon answers that runs in a thread with a loop of its own."""
    daemon, ready, urls = Daemon(load([project(tmp_path_factory.mktemp("api"))])), threading.Event(), list[str]()
    loop = asyncio.new_event_loop()

    def told() -> None:
        urls.append(daemon.admin.url if daemon.admin is not None else "")
        ready.set()

    thread = threading.Thread(target=lambda: loop.run_until_complete(daemon.run(told)))
    thread.start()
    assert ready.wait(20)
    yield urls[0]
    loop.call_soon_threadsafe(daemon.stop)
    thread.join(30)
    assert not thread.is_alive()
    loop.close()


schema = schemathesis.openapi.from_dict(document(ENDPOINTS))


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # schemathesis does
@schema.include(path_regex=r"^/api/(?!live|flows/\{name\}/tap)").parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_whatever_is_asked_every_answer_is_in_the_document(case: object, url: str) -> None:
    case.call_and_validate(base_url=url, checks=CHECKS, timeout=20)  # type: ignore[attr-defined]  # schemathesis' own


def test_what_a_tap_refuses_is_in_the_document(url: str) -> None:
    operation = schema[EVENTS]["GET"]
    for query in ({}, {"rate": "x"}, {"where": "("}, {"nope": "1"}, {"rate": "0"}):
        case = operation.Case(path_parameters={"name": "nope"}, query=query)
        answer = case.call_and_validate(base_url=url, checks=CHECKS[:5], timeout=20)
        assert answer.status_code in (400, 404)


def test_what_a_packed_body_gets_is_in_the_document(url: str) -> None:
    for encoding in ("gzip", "deflate", "br", "zstd"):
        case = schema["/api/eval"]["POST"].Case(body={"expression": "1"}, headers={"Content-Encoding": encoding})
        assert case.call_and_validate(base_url=url, checks=CHECKS[:5], timeout=20).status_code == 415
