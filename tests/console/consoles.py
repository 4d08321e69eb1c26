"""What tests of the console share: a page of it, what axe-core finds in it, and projects to look at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, BrowserContext, Locator, Page, expect

from router.daemon import Daemon

AXE = Path(__file__).parents[2] / "console" / "node_modules" / "axe-core" / "axe.min.js"

CONFIG = """\
state_dir: ./state
http: {listen: "127.0.0.1:0"%s}
sources:
  web: {type: memory, channel: web}
  app: {type: memory, channel: app}
sinks:
  vip: {type: memory, channel: vip}
  archive: {type: memory, channel: archive}
flows: [rules/*.yaml]
"""
SHOP = """\
flow: shop
from: [web, app]
contract:
  expect:
    amount is not negative: event.amount >= 0
let: {big: event.amount > 500}
rules:
  - {name: heartbeats, when: event.type == "heartbeat", to: drop}
  - name: vip
    when: big && event.plan == "pro"
    to: [{sink: vip, set: {event.tier: gold}}]
    continue: true
  - {name: rest, to: archive}
"""


@dataclass(frozen=True)
class Look:
    """How a page is looked at."""

    theme: Literal["light", "dark"]
    width: int


LOOKS = (Look("dark", 390), Look("light", 1280))
"""Both themes and both widths."""
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


def project(folder: Path, more: str = "", **flows: str) -> Path:
    """A daemon's file with these rules, or those of a shop. ``more`` stands under ``http``."""
    (folder / "rules").mkdir()
    for name, rules in (flows or {"shop": SHOP}).items():
        (folder / "rules" / f"{name}.yaml").write_text(rules)
    path = folder / "sluiceway.yaml"
    path.write_text(CONFIG % more)
    return path


@dataclass
class Console:
    """A page of the console, as somebody has it open. ``complaints`` is what the browser's console says is wrong."""

    page: Page
    url: str
    _context: BrowserContext
    complaints: list[str] = field(default_factory=list)

    @classmethod
    async def open(cls, browser: Browser, daemon: Any, address: str, look: Look) -> Console:
        """Open it."""
        assert isinstance(daemon, Daemon)
        assert daemon.admin is not None
        size = {"width": look.width, "height": 860}
        context = await browser.new_context(color_scheme=look.theme, viewport=size, reduced_motion="reduce")  # type: ignore[arg-type]
        console = cls(await context.new_page(), daemon.admin.url, context)
        console.page.set_default_timeout(10_000)
        console.page.on("pageerror", lambda error: console.complaints.append(str(error)))
        console.page.on("console", lambda said: console.complaints.append(said.text) if said.type == "error" else None)
        await console.page.goto(f"{console.url}/{address}")
        return console

    async def go(self, address: str) -> None:
        """Go to another page of it."""
        await self.page.evaluate("hash => { location.hash = hash }", address)

    def get(self, role: Any, name: Any = None, **more: Any) -> Locator:
        """What has this role and name for whoever cannot see."""
        return self.page.get_by_role(role, name=name, **more)

    async def sees(self, text: str) -> None:
        """Wait until this text is seen."""
        await expect(self.page.get_by_text(text).locator("visible=true").first).to_be_visible()

    async def look(self, look: Look) -> None:
        """Look at it in this way from now on."""
        await self.page.emulate_media(color_scheme=look.theme, reduced_motion="reduce")
        await self.page.set_viewport_size({"width": look.width, "height": 860})

    async def is_accessible(self) -> None:
        """Nothing of WCAG 2 A and AA that axe-core can see is amiss, in any look; and nothing reaches past the edge."""
        if not AXE.exists():
            pytest.skip("axe-core is not there; `make console` brings it")
        # By the driver, past the page's own policy.
        await self.page.evaluate(AXE.read_text(encoding="utf-8"))
        for look in LOOKS:
            await self.look(look)
            found = await self.page.evaluate("tags => axe.run(document, {runOnly: tags})", TAGS)
            told = [f"{one['id']}: {one['help']}: {_nodes(one)}" for one in found["violations"]]
            assert not told, "\n".join([str(look), *told])
            wide = await self.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= look.width, f"{look}: the page is {wide} pixels wide"

    async def close(self) -> None:
        """Close it."""
        await self._context.close()


def _nodes(violation: Any) -> list[tuple[str, str]]:
    return [(node["html"][:160], node.get("failureSummary", "")) for node in violation["nodes"][:3]]


expect.set_options(timeout=15_000)

OpenConsole = Callable[..., Awaitable[Console]]
