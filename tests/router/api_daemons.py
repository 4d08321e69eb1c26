"""What tests of the API share: a daemon with some of everything, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from daemons import daemon_of

from router.daemon import Daemon

SECRET = "ada@secret.example"

CONFIG = """\
state_dir: ./state
http: {listen: "127.0.0.1:0"%s}
vars: {region: eu}
sources:
  orders:
    type: generate
    rate: 200
    template: {type: order, amount: "{sequence}", user: {id: u1, email: "ada@secret.example"}}
  others: {type: memory, channel: others}
sinks:
  out: {type: memory, channel: out}
  keyed: {type: memory, channel: keyed}
flows: [rules/*.yaml]
"""
ORDERS = """\
flow: orders
from: [orders]
contract: {sensitive: [event.user.email]}
let: {mail: event.user.email}
rules:
  - {name: contact, set: {event.contact: "${mail}"}}
  - {name: odd, when: event.amount % 50 == 0, to: dead_letter}
  - {name: fails, when: event.amount % 50 == 1 && int(mail) > 5, to: out}
  - {name: keyed, when: 'event.contact.startsWith("ada")', to: [{sink: keyed, key: "${event.contact}"}]}
  - {name: rest, to: out}
"""
OTHERS = """\
flow: others
from: [others]
rules:
  - {name: all, to: out}
"""


def project(folder: Path, more: str = "", orders: str = ORDERS) -> Path:
    """The daemon's file. ``more`` stands under ``http``."""
    (folder / "rules").mkdir()
    (folder / "rules" / "orders.yaml").write_text(orders)
    (folder / "rules" / "others.yaml").write_text(OTHERS)
    path = folder / "sluiceway.yaml"
    path.write_text(CONFIG % more)
    return path


class Client:
    """Asks a daemon."""

    def __init__(self, daemon: Daemon, session: aiohttp.ClientSession) -> None:
        assert daemon.admin is not None
        self.daemon = daemon
        self.url = daemon.admin.url
        self.session = session

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """The status, and the JSON."""
        async with self.session.request(method, self.url + path, **options) as answer:
            assert answer.content_type == "application/json", await answer.text()
            return answer.status, await answer.json()

    async def get(self, path: str, **query: Any) -> Any:
        """The JSON of a page that must be there."""
        status, found = await self.ask("GET", path, params=query)
        assert status == 200, found
        return found

    async def post(self, path: str, **body: Any) -> Any:
        """The JSON of what must be done."""
        status, found = await self.ask("POST", path, json=body)
        assert status == 200, found
        return found


@asynccontextmanager
async def client_of(path: Path) -> AsyncIterator[Client]:
    """A client of a daemon that runs while the block does."""
    async with daemon_of(path) as daemon, aiohttp.ClientSession() as session:
        yield Client(daemon, session)
