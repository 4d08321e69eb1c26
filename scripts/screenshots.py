"""The pictures of the console in docs/console/, taken of the quickstart with a sink that refuses what it gets.

``python -m scripts.screenshots`` takes them; needs Chromium, and about a minute and a half, in which there comes to be
something to see.
"""

from __future__ import annotations

import http.server
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, sync_playwright

from scripts.environment import ROOT

FOLDER = ROOT / "docs" / "console"
QUICKSTART = ROOT / "deploy" / "quickstart"
SECONDS = 75
"""So long it runs before: a minute of rates, and some points of the last hour."""
LIVE_SECONDS = 20
"""So long a page with rates is looked at before the picture is taken."""
SIZE = (1280, 820)
PICTURES: dict[str, tuple[str, Literal["light", "dark"], float]] = {
    "streams": ("#/?at=sink/alarms", "light", LIVE_SECONDS),
    "streams-dark": ("#/", "dark", LIVE_SECONDS),
    "flow": ("#/flows/shop?rule=vip", "light", 8),
    "record": ("#/flows/shop/samples/{sample}", "light", 2),
    "dead-letter": ("#/dead-letters/{letter}", "light", 3),
    "try": ("#/try/shop", "dark", 4),
    "audit": ("#/history", "light", 2),
}


class Refusing(http.server.BaseHTTPRequestHandler):
    """Takes no alarm."""

    def do_POST(self) -> None:
        """Refuse it."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = json.dumps({"error": "celsius: a number is wanted"}).encode()
        self.send_response(422)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the library names it
        """Say nothing of it."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@contextmanager
def quickstart(folder: Path) -> Iterator[str]:
    """The quickstart while it runs; its address."""
    shutil.copytree(QUICKSTART, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("state", "out"))
    refusing = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=refusing.serve_forever, daemon=True).start()
    port, path = free_port(), folder / "sluiceway.yaml"
    text = path.read_text(encoding="utf-8").replace("9600", str(port)).replace("9601", str(free_port()))
    alarms = f'alarms: {{type: http, url: "http://127.0.0.1:{refusing.server_port}/alarms"}}'
    path.write_text(text.replace("alarms: {type: file, path: out/alarms.ndjson}", alarms), encoding="utf-8")
    program = Path(sys.executable).with_name("sluiceway")
    daemon = subprocess.Popen([program, "run"], cwd=folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(timeout=60)
        refusing.shutdown()


def asked(url: str) -> Any:
    """The JSON at an address, waited for."""
    for _ in range(200):
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    sys.exit(f"{url} does not answer")


def take(browser: Browser, url: str, name: str) -> None:
    """One picture."""
    address, theme, seconds = PICTURES[name]
    if "{sample}" in address:
        address = address.format(sample=asked(f"{url}/api/flows/shop/samples?to=vip")["samples"][-1]["id"])
    if "{letter}" in address:
        address = address.format(letter=asked(f"{url}/api/dead_letters?stage=sink")["letters"][-1]["id"])
    width, height = SIZE
    page = browser.new_page(color_scheme=theme, viewport={"width": width, "height": height})
    page.goto(f"{url}/{address}")
    page.wait_for_timeout(seconds * 1000)
    page.screenshot(path=FOLDER / f"{name}.png")
    page.close()
    print(f"docs/console/{name}.png", flush=True)


def main(names: list[str]) -> None:
    """Take those that are named, or all."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("there is no chromium on the PATH; on Debian: apt-get install chromium")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, quickstart(Path(folder)) as url, sync_playwright() as playwright:
        asked(f"{url}/api/status")
        time.sleep(SECONDS)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name in names or PICTURES:
            take(browser, url, name)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
