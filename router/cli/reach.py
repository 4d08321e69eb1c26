"""How a command gets at a daemon that runs: by the daemon's file, or by an address."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from router.cli.faults import whereabouts_or_exit
from router.client import Client, NoDaemon, address_of, trust


class Reach(Struct, frozen=True):
    """What the options of such a command say. ``files`` are the daemon's, and are not read when there is a ``url``."""

    files: Sequence[Path]
    url: str | None = None
    token: str | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def client(self) -> Client:
        """A client of that daemon. Raises NoDaemon where it cannot be known which one that is; exit status 2 where the
        daemon's file says it wrongly."""
        if self.key is not None and self.cert is None:
            raise NoDaemon("--key should stand beside --cert")
        if self.url is not None:
            return Client(self.url, self.token, trust(self.ca, self.cert, self.key))
        there = whereabouts_or_exit(self.files, with_token=not self.token)
        url = address_of(there)
        own = None if there.http is None or there.http.tls is None else (there.folder, there.http.tls)
        tls = None if own is None else trust(self.ca, self.cert, self.key, own)
        token = self.token or (None if there.http is None else there.http.token_text)
        return Client(url, token, tls)
