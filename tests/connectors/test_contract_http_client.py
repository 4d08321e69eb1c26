"""The sink ``http`` and the source ``http_poll`` keep the contract that the kit checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from aiohttp import web
from http_servers import Asked, HttpServer, Reply

from connectors.http.poll import HttpPollSource
from connectors.http.sink import HttpSink
from connectors.kit import SinkContract, SourceContract
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
    patience = 100.0  # 10,000 requests, one after the other
    choices = {name: values for name, values in TestHttpSink.choices.items() if name != "action"}
    traceless = {**TestHttpSink.traceless, "action": "it stands between records, and here there is one"}
    settings = {"body": "each", "concurrency": 1, "request_timeout": "2s"}

    def values(self, asked: Asked) -> Sequence[bytes]:
        return [asked.body]


class TestHttpPollSource(SourceContract):
    """Of an API that gives what comes after a number, one a line."""

    connector = HttpPollSource
    cannot = {"end": "an API that is polled has no end"}
    settings: dict[str, Any] = {"interval": "50ms"}

    async def start(self) -> None:
        self.items: list[bytes] = []
        self.server = HttpServer(self.answer)
        await self.server.start()

    async def stop(self) -> None:
        await self.server.stop()

    def answer(self, asked: Asked) -> Reply:
        last = int(asked.url.rpartition("=")[2])
        body = b""
        while last < len(self.items) and len(body) < 2**20:
            body += self.items[last] + b"\n"
            last += 1
        more = {"X-Next": f"?since={last}"} if last < len(self.items) else {}
        return web.Response(body=body, headers={"X-Last": str(last), "Content-Type": "application/x-ndjson", **more})

    def config(self) -> Settings:
        return HttpPollSource.Config.model_validate(
            {
                "url": f"{self.server.url}/?since=${{cursor}}",
                "start": 0,
                "cursor": 'int(response.headers["x-last"])',
                "next": 'response.headers["x-next"]',
                **self.settings,
            }
        )

    async def put(self, values: Sequence[bytes]) -> None:
        self.items += values

    async def go_away(self) -> None:
        await self.server.stop()

    async def come_back(self) -> None:
        await self.server.start()


class TestHttpPollSourceThatAsksOnce(TestHttpPollSource):
    cannot = {"wait": "it asks once"}
    settings = {"once": True}

    async def end(self) -> None:
        """It ends by itself."""
