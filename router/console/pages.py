"""How the console is served: from memory, told apart by a hash, and under a policy by which nothing that is shown in it
can run or be fetched from elsewhere (W3C Content Security Policy 3)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from importlib import resources
from typing import Final

from aiohttp import web

Refuses = Callable[[web.Request], "tuple[int, str] | None"]

FILES: Final = {
    "console.js": "text/javascript",
    "console.css": "text/css",
    "language.json": "application/json",
    "LICENSES.txt": "text/plain",
}
_SAFE: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
_POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'nonce-{nonce}'",  # the editor makes its styles as it is loaded
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",  # no text ever becomes markup
        "trusted-types 'none'",
    ]
)


class Console:
    """The console of one daemon. ``refuses`` says, as for the API but for the token, which requests are not granted."""

    def __init__(self, refuses: Refuses) -> None:
        self._refuses = refuses
        static = resources.files("router.console") / "static"
        self._index = (static / "index.html").read_text(encoding="utf-8")
        self._files = {name: (static / name).read_bytes() for name in FILES}
        self._tags = {name: hashlib.sha256(content).hexdigest()[:32] for name, content in self._files.items()}

    def mount(self, app: web.Application) -> None:
        """Put the routes into an application."""
        app.router.add_get("/", self._page)
        app.router.add_get("/console/{name}", self._file)

    async def _page(self, request: web.Request) -> web.Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        nonce = secrets.token_urlsafe(16)
        return web.Response(
            text=self._index.replace("{{nonce}}", nonce),
            content_type="text/html",
            headers={**_SAFE, "Cache-Control": "no-store", "Content-Security-Policy": _POLICY.format(nonce=nonce)},
        )

    async def _file(self, request: web.Request) -> web.Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        name = request.match_info["name"]
        if name not in self._files:
            return web.Response(status=404, text="there is no such page\n", headers=_SAFE)
        headers = {**_SAFE, "Cache-Control": "no-cache", "ETag": f'"{self._tags[name]}"'}
        if any(tag.value == self._tags[name] for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        answer = web.Response(body=self._files[name], content_type=FILES[name], charset="utf-8", headers=headers)
        answer.enable_compression()
        return answer

    def _refused(self, request: web.Request) -> web.Response | None:
        refused = self._refuses(request)
        return None if refused is None else web.Response(status=refused[0], text=f"{refused[1]}\n", headers=_SAFE)
