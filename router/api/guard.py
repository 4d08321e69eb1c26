"""Who may ask: what keeps others, and pages of others in the browser of somebody who may, from reading and writing.

- With a token, every request must show it (RFC 6750). A browser sends it for no page of another origin.
- Without one, which is for loopback alone, a request must ask by a name of this machine: a name of somebody else that
  was made to lead here (DNS rebinding) is refused.
- Whatever the token: a request whose ``Origin`` is not the address that it asks at is refused, and so is one that the
  browser marks as made by another site (``Sec-Fetch-Site``, W3C Fetch Metadata). No CORS header is ever answered, so a
  preflight (WHATWG Fetch) fails, and what needs none cannot write: writes take ``application/json`` alone.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import web

_FOREIGN = frozenset({"cross-site", "same-site"})
_PORTS = {"http": 80, "https": 443}
NOT_OWN = "this page answers only to the address that it listens on, and to no page of another origin"
NO_TOKEN = "a token is needed: Authorization: Bearer ..."  # noqa: S105 - says so


class Guard:
    """Refuses requests. ``host`` is what is listened on; ``token`` gives the one that holds now."""

    def __init__(self, host: str, token: Callable[[], str | None]) -> None:
        self._host = host.lower()
        self._token = token

    def refuses(self, request: web.Request) -> tuple[int, str] | None:
        """The status and the reason, for a request that is not granted."""
        token = self._token()
        if token is not None and not _shows(request, token):
            return 401, NO_TOKEN
        if token is None and not self._is_own_name(request.host):
            return 403, NOT_OWN
        return (403, NOT_OWN) if self._is_of_another_page(request) else None

    def refuses_page(self, request: web.Request) -> tuple[int, str] | None:
        """The same for a page that tells nothing of the daemon: it is shown without the token, from wherever a link led
        here, to whoever asks by a name that is this machine's."""
        return (403, NOT_OWN) if self._token() is None and not self._is_own_name(request.host) else None

    def _is_own_name(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in {"localhost", self._host} or _is_loopback(name)

    def _is_of_another_page(self, request: web.Request) -> bool:
        if request.headers.get("Sec-Fetch-Site", "") in _FOREIGN:
            return True
        origin = request.headers.get("Origin")
        if origin is None:
            return False
        try:
            theirs, own = urlsplit(origin), urlsplit(f"{request.scheme}://{request.host}")
            ours = own.hostname, own.port or _PORTS[request.scheme]
            return (theirs.hostname, theirs.port or _PORTS.get(theirs.scheme)) != ours
        except (ValueError, KeyError):
            return True


GUARD = web.AppKey("guard", Guard)


def _shows(request: web.Request, token: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    is_token = hmac.compare_digest(given.lstrip(" ").encode(errors="replace"), token.encode())
    return is_token and scheme.lower() == "bearer"  # RFC 9110, section 11.1


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
