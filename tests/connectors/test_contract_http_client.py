"""The sink ``http`` keeps the contract that the kit checks, in each form of body."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from http_servers import Asked, HttpServer, Reply

from connectors.http.sink import HttpSink
from connectors.kit import SinkContract
from router import Settings


class TestHttpSink(SinkContract):
    connector = HttpSink
    impossible = b'"impossible"'
    choices = {
        "method": ["PUT", "PATCH"],
        "headers": [[("X-Choice", b"a")], [("X-Choice", b"b")]],
        "action": ["first", "second"],
    }
    traceless = {"key": "it orders requests and is not sent"}
    settings: dict[str, Any] = {}

    async def start(self) -> None:
        self.server = HttpServer(self.answer)
        await self.server.start()
        urls = [f"{self.server.url}/a", f"{self.server.url}/b"]
        self.choices = {**self.choices, "url": urls}  # type: ignore[misc]  # the port is known only now

    async def stop(self) -> None:
        await self.server.stop()

    def answer(self, asked: Asked) -> Reply:
        return (422, {"error": "impossible"}) if self.impossible in asked.body else 200

    def config(self) -> Settings:
        return HttpSink.Config.model_validate({"url": f"{self.server.url}/in", **self.settings})

    async def go_away(self) -> None:
        await self.server.stop()

    async def come_back(self) -> None:
        await self.server.start()

    async def written(self, **chosen: Any) -> Sequence[bytes]:
        return [value for asked in self.server.requests for value in self.records(asked, **chosen)]

    def records(self, asked: Asked, **chosen: Any) -> Iterator[bytes]:
        if asked.method == "HEAD" or self.impossible in asked.body:
            return
        wanted = {
            "url": (f"{self.server.url}{asked.url}", f"{self.server.url}/in"),
            "method": (asked.method, "POST"),
            "headers": ([("X-Choice", asked.headers.get("x-choice", "").encode())], [("X-Choice", b"")]),
        }
        for name, (found, usual) in wanted.items():
            if found != chosen.get(name, usual) and (name in chosen or not chosen):
                return
        action = None
        for value in self.values(asked):
            if value in (b"first", b"second"):
                action = value.decode()
                continue
            if action == chosen.get("action", action):
                yield value
            action = None

    def values(self, asked: Asked) -> Sequence[bytes]:
        return asked.lines


class TestHttpSinkOfOneRequestARecord(TestHttpSink):
    choices = {name: values for name, values in TestHttpSink.choices.items() if name != "action"}
    traceless = {**TestHttpSink.traceless, "action": "it stands between records, and here there is one"}
    settings = {"body": "record", "concurrency": 1}

    def values(self, asked: Asked) -> Sequence[bytes]:
        return [asked.body]
