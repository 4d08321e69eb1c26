"""The bulk API of Elasticsearch and OpenSearch, as far as ``create`` and ``index`` go, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web
from http_servers import Asked, Reply

Judge = Callable[[str, Any], tuple[int, str]]


class BulkApi:
    """A cluster's documents by index and id. ``judge`` says, for an id and a document, which status it gets, and why;
    what gets 2xx is kept, and is 409 when it is created again."""

    def __init__(self, judge: Judge = lambda _id, _document: (201, "")) -> None:
        self.judge = judge
        self.documents: dict[tuple[str, str], Any] = {}
        self.order: list[str] = []
        """Ids in the order in which their documents were kept."""
        self.statuses: list[int] = []
        self.down = False

    def __call__(self, asked: Asked) -> Reply:
        """The answer to a request."""
        if self.down:
            return 503, {"error": "master not discovered"}
        if asked.method in ("GET", "HEAD"):
            return 200, {"tagline": "You Know, for Search"}
        if asked.url != "/_bulk" or asked.headers.get("content-type") != "application/x-ndjson":
            return 406, {"error": "Content-Type header is not supported"}
        if not asked.body.endswith(b"\n"):
            return 400, {"error": "The bulk request must be terminated by a newline [\\n]"}
        try:
            lines = [json.loads(line) for line in asked.lines]
        except ValueError:
            return web.Response(status=400, text='{"error": {"type": "parse_exception"}}')
        items = [self._item(action, document) for action, document in zip(lines[::2], lines[1::2], strict=True)]
        return 200, {"took": 1, "errors": any("error" in item["create"] for item in items), "items": items}

    def _item(self, action: Any, document: Any) -> dict[str, Any]:
        place = (action["create"]["_index"], action["create"]["_id"])
        status, why = self.judge(place[1], document)
        if 200 <= status < 300 and place in self.documents:
            status, why = 409, "version_conflict_engine_exception"
        self.statuses.append(status)
        item: dict[str, Any] = {"_index": place[0], "_id": place[1], "status": status}
        if 200 <= status < 300:
            self.documents[place] = document
            self.order.append(place[1])
        else:
            item["error"] = {"type": why, "reason": f"[{place[1]}]: {why}"}
        return {"create": item}
