"""Streams: what the graph says is so, what is wrong is seen at once, and one click tells why."""

from __future__ import annotations

import json
from pathlib import Path

from consoles import LOOKS, SHOP, OpenConsole, project
from daemons import daemon_of
from playwright.async_api import expect
from pydantic import JsonValue

from connectors import memory
from router import Batch, NotConnected
from router.testing import until

ORDER: JsonValue = {"type": "order", "amount": 900, "plan": "pro"}
VISIT: JsonValue = {"type": "visit", "amount": 0, "plan": "free"}


async def test_every_component_is_shown_and_accessible(open_console: OpenConsole, tmp_path: Path) -> None:
    async with daemon_of(project(tmp_path)) as daemon:
        console = await open_console(daemon)
        for look in LOOKS:
            await console.look(look)
            for name in ("web", "app", "shop", "vip", "archive"):
                await expect(console.get("link", name).locator("visible=true").first).to_be_visible()
        await console.is_accessible()


async def test_the_counts_of_a_sink_are_those_that_it_got(open_console: OpenConsole, tmp_path: Path) -> None:
    async with daemon_of(project(tmp_path)) as daemon:
        console = await open_console(daemon, "#/?at=sink/vip")
        memory.source("web").push(memory.records(*[ORDER] * 7, *[VISIT] * 5))
        detail = console.get("complementary", "sink vip")
        await expect(detail.get_by_role("row", name="shop")).to_contain_text("7")
        await console.go("#/?at=sink/archive")
        await expect(console.get("complementary", "sink archive").get_by_role("row", name="shop")).to_contain_text("12")


async def test_a_sink_that_is_away_is_seen_at_once_and_a_click_tells_why(
    open_console: OpenConsole, tmp_path: Path
) -> None:
    def away() -> None:
        raise NotConnected("the archive's door is shut")

    memory.sink("archive").on_open = away
    async with daemon_of(project(tmp_path)) as daemon:
        console = await open_console(daemon)
        await console.sees("1 failing")
        await console.page.get_by_role("region", name="What to look at").get_by_role("link", name="archive").click()
        await console.sees("the archive's door is shut")
        assert "at=sink%2Farchive" in console.page.url
        memory.sink("archive").on_open = None
        await console.sees("All well")
        await console.is_accessible()


async def test_a_sink_that_refused_is_red_for_whoever_opens_or_reloads_the_page_later(
    open_console: OpenConsole, tmp_path: Path
) -> None:
    memory.sink("archive").on_write = lambda batch: memory.refuse(batch, *batch.values, reason="read-only")
    async with daemon_of(project(tmp_path)) as daemon:
        memory.source("web").push(memory.records(*[VISIT] * 10))
        await until(lambda: daemon.store.counts().get("shop") == 10)
        console = await open_console(daemon)
        for _ in range(2):
            await console.sees("Sink archive refuses records: 10 in a minute")
            await console.sees("1 failing")
            await console.page.reload()


async def test_dead_letters_are_counted_and_lead_to_themselves(open_console: OpenConsole, tmp_path: Path) -> None:
    async with daemon_of(project(tmp_path)) as daemon:
        console = await open_console(daemon)
        memory.source("web").push(memory.records({"amount": -1}, {"amount": -2}), Batch([b"{no"]))
        await console.sees("3 dead letters of flow shop")
        await console.page.get_by_role("region", name="What to look at").get_by_role("link").click()
        assert console.page.url.endswith("#/dead-letters?flow=shop")


async def test_what_was_known_stays_when_the_daemon_goes_away(open_console: OpenConsole, tmp_path: Path) -> None:
    async with daemon_of(project(tmp_path)) as daemon:
        console = await open_console(daemon)
        await console.sees("All well")
    await console.sees("Not connected")
    await expect(console.get("link", "archive").first).to_be_visible()
    console.complaints.clear()  # the browser says that nobody answers


async def test_what_is_sought_is_shown_with_what_it_has_to_do_with(open_console: OpenConsole, tmp_path: Path) -> None:
    other = "flow: other\nfrom: [app]\nrules: [{name: all, to: archive}]\n"
    async with daemon_of(project(tmp_path, shop=SHOP.replace("[web, app]", "[web]"), other=other)) as daemon:
        console = await open_console(daemon, "#/?q=vip")
        graph = console.get("region", "Sources, flows and sinks")
        await expect(graph.get_by_role("link")).to_have_count(4)
        await expect(graph.get_by_role("link", name="app")).to_have_count(0)
        await console.go("#/?q=app")
        await expect(graph.get_by_role("link", name="other")).to_be_visible()
        await expect(graph.get_by_role("link")).to_have_count(3)


async def test_a_token_is_asked_for_once(open_console: OpenConsole, tmp_path: Path) -> None:
    async with daemon_of(project(tmp_path, ", token: knock-knock")) as daemon:
        console = await open_console(daemon)
        await expect(console.get("textbox", "Token")).to_be_focused()
        await console.get("textbox", "Token").fill("wrong")
        await console.get("button", "Continue").click()
        # At once, and the field stays, to be typed into again.
        told = console.get("dialog", "A token is needed").get_by_role("alert")
        await expect(told).to_have_text("The token that was given is not it.", timeout=1_000)
        await expect(console.get("textbox", "Token")).to_be_visible(timeout=1)
        assert await console.page.get_by_text("Not connected").count() == 0
        await console.get("textbox", "Token").fill("knock-knock")
        await console.get("button", "Continue").click()
        await console.sees("All well")
        await console.page.reload()
        await console.sees("All well")
        console.complaints.clear()  # the browser says that it was refused


async def test_a_page_asks_for_the_new_token_when_the_one_that_it_has_is_changed(
    open_console: OpenConsole, tmp_path: Path
) -> None:
    file = project(tmp_path, ", token: knock-knock")
    async with daemon_of(file) as daemon:
        console = await open_console(daemon)
        await console.get("textbox", "Token").fill("knock-knock")
        await console.get("button", "Continue").click()
        await console.sees("All well")
        file.write_text(file.read_text().replace("knock-knock", "who-is-there"))
        await daemon.reload("api", "test")
        await console.get("textbox", "Token").fill("who-is-there")
        await console.get("button", "Continue").click()
        await expect(console.get("dialog")).not_to_be_visible()
        await console.sees("All well")
        await expect(console.page.get_by_text("A token is needed")).not_to_be_visible()
        console.complaints.clear()  # the browser says that it was refused


async def test_the_keyboard_leads_everywhere(open_console: OpenConsole, tmp_path: Path) -> None:
    async with daemon_of(project(tmp_path)) as daemon:
        console = await open_console(daemon)
        await console.sees("All well")
        for keys, page in (("gd", "dead-letters"), ("ga", "history"), ("gc", "configuration"), ("gt", "try")):
            for key in keys:
                await console.page.keyboard.press(key)
            here = console.get("navigation", "Pages").locator("[aria-current]")
            await expect(here).to_have_attribute("href", f"#/{page}")
        await console.page.keyboard.press("?")
        await expect(console.get("dialog", "Keys")).to_be_visible()
        await console.page.keyboard.press("Escape")
        await expect(console.get("dialog", "Keys")).not_to_be_visible()


async def test_on_another_page_the_keyboard_is_at_its_heading(open_console: OpenConsole, tmp_path: Path) -> None:
    async with daemon_of(project(tmp_path)) as daemon:
        memory.source("web").push(memory.records({"type": "order", "amount": -1}, VISIT))
        await until(lambda: daemon.samples.sample("shop"))
        console = await open_console(daemon)
        await console.sees("1 dead letter")
        focused = "document.activeElement.tagName"
        assert await console.page.evaluate(focused) == "BODY"
        for address, level, name in (
            ("#/flows/shop", 1, "shop"), ("#/dead-letters", 1, "Dead letters"),
            ("#/dead-letters/1", 2, "Dead letter 1"), ("#/history", 1, "Audit"),
            ("#/try/shop", 1, "Try it"), ("#/configuration", 1, "Configuration"),
            ("#/nowhere", 1, "There is no such page"), ("#/", 1, "Streams"),
        ):  # fmt: skip
            await console.go(address)
            await expect(console.get("heading", name, level=level, exact=True)).to_be_focused()
        # What is told once a second takes the focus from nobody.
        await console.get("link", "Audit").focus()
        await console.page.wait_for_timeout(2_200)
        await expect(console.get("link", "Audit")).to_be_focused()
        # A text that is there to be edited is where the keyboard is.
        await console.go("#/try/shop?line=8")
        await expect(console.get("textbox", "Text of rules/shop.yaml")).to_be_focused()


async def test_a_page_that_is_hidden_listens_to_nothing_and_catches_up_when_it_is_seen(
    open_console: OpenConsole, tmp_path: Path
) -> None:
    """A tab in the background that is forgotten for a week costs the daemon nothing."""

    def hide(is_hidden: bool) -> str:
        described = f"{{configurable: true, get: () => {json.dumps(is_hidden)}}}"
        return f"""Object.defineProperty(document, 'hidden', {described});
            document.dispatchEvent(new Event('visibilitychange'))"""

    async with daemon_of(project(tmp_path)) as daemon:
        console = await open_console(daemon, "#/?at=sink/archive")
        detail = console.get("complementary", "sink archive")
        await expect(detail).to_be_visible()
        async with console.page.expect_event(
            "requestfailed", lambda request: request.url.endswith("/api/live")
        ):  # the page has ended it
            await console.page.evaluate(hide(True))
        memory.source("web").push(memory.records(*[VISIT] * 9))
        await console.page.wait_for_timeout(1_500)
        await expect(detail.get_by_role("row", name="shop")).not_to_contain_text("9")
        async with console.page.expect_request("**/api/live"):
            await console.page.evaluate(hide(False))
        await expect(detail.get_by_role("row", name="shop")).to_contain_text("9")
