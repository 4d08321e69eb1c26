"""A real Chromium for the tests of the console, one for each worker, and pages in it that look at a test's daemon.

Everything runs on the loop of the session, for which the browser's driver is made: tests are marked so here."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from consoles import LOOKS, Console, Look, OpenConsole
from playwright.async_api import Browser, async_playwright

from connectors import memory

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here runs where the browser does."""
    for item in items:
        if item.path.is_relative_to(HERE) and isinstance(item, pytest.Function):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.skip("there is no Chromium on the PATH; on Debian: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=QUIET)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_console(browser: Browser) -> AsyncIterator[OpenConsole]:
    """Open a page on a daemon: ``await open_console(daemon, "#/")``. At the end nothing may have been complained of in
    any of them."""
    opened: list[Console] = []

    async def open_one(daemon: object, address: str = "#/", look: Look | None = None) -> Console:
        console = await Console.open(browser, daemon, address, look or LOOKS[-1])
        opened.append(console)
        return console

    yield open_one
    for console in opened:
        await console.close()
    # A page that still asks when the test's daemon has ended is refused.
    complaints = [complaint for console in opened for complaint in console.complaints]
    assert not [complaint for complaint in complaints if "ERR_CONNECTION_REFUSED" not in complaint]


@pytest.fixture(autouse=True)
def fresh_channels() -> None:
    """Doubles of a test begin empty."""
    memory.forget()
