"""Somebody sees it for the first time, and no documentation: from a sink that is red to no dead letters at all."""

from __future__ import annotations

from pathlib import Path

from consoles import OpenConsole, project
from daemons import daemon_of
from playwright.async_api import expect
from pydantic import JsonValue

from connectors import memory
from router import Batch
from router.testing import until

RULES = """\
flow: shop
from: [web, app]
rules:
  - name: vip  # agreed with sales
    when: event.plan == "pro"
    to: [{sink: vip, set: {event.cents: "${event.amount + '00'}"}}]
  - {name: rest, to: archive}
"""
PRO: JsonValue = {"plan": "pro", "amount": "12.50"}
"""What comes has amounts as texts, and the sink takes numbers."""


def refuse(batch: Batch) -> None:
    """The sink takes cents as numbers."""
    wrong = [value for value in batch.values if b'"cents":"' in value]
    memory.refuse(batch, *wrong, reason="cents is a text and should be a number")


async def test_from_a_red_sink_to_no_dead_letters(open_console: OpenConsole, tmp_path: Path) -> None:
    memory.sink("vip").on_write = refuse
    async with daemon_of(project(tmp_path, shop=RULES)) as daemon:
        console = await open_console(daemon)
        await console.sees("All well")
        memory.source("web").push(memory.records(PRO, PRO, {"plan": "free"}))

        # A sink is red; one click tells why, another one shows its dead letters.
        troubles = console.get("region", "What to look at")
        await troubles.get_by_role("link", name="Sink vip").click()
        await console.sees("cents is a text and should be a number")
        await console.get("link", "Its dead letters").click()
        await expect(console.get("list", "Dead letters").get_by_role("listitem")).to_have_count(2)

        # A letter says why, shows what was to go out, and leads to the rule that made it.
        await console.get("list", "Dead letters").get_by_role("link").first.click()
        await console.sees('"12.5000"')
        await console.get("link", "Edit the rule").first.click()

        # The rule is mended in the editor, which is at its line.
        text = console.get("textbox", "Text of rules/shop.yaml")
        await expect(console.page.get_by_text("line 4", exact=True)).to_be_visible()
        await text.locator(".cm-line", has_text="event.amount + '00'").click()
        await console.page.keyboard.press("Home")
        await console.page.keyboard.press("Shift+End")
        await console.page.keyboard.press("Delete")
        await console.page.keyboard.insert_text(
            'to: [{sink: vip, set: {event.cents: "${int(double(event.amount) * 100.0)}"}}]'
        )
        await console.page.keyboard.press("Control+Enter")
        await expect(console.get("region", "Preview")).to_contain_text("would go out changed")
        await console.page.keyboard.press("Control+s")
        await console.get("button", "Write the file and reload").click()
        assert "# agreed with sales" in (tmp_path / "rules" / "shop.yaml").read_text()

        # They go by the rules of now, until there are none.
        await console.get("link", "Its 2 dead letters can be replayed").click()
        await console.get("button", "Replay all 2 …").click()
        dialog = console.get("dialog")
        await expect(dialog.get_by_role("checkbox", name="by the rules as they are now")).to_be_checked()
        await dialog.get_by_role("button", name="Replay 2").click()
        await console.sees("All 2 went through")
        await until(lambda: len(memory.sink("vip").values) == 2)
        assert all(b'"cents":1250' in value for value in memory.sink("vip").values)
        await console.go("#/")
        await expect(
            console.get("term").filter(has_text="dead letters").locator("xpath=following-sibling::dd")
        ).to_have_text("0")
        await console.close()
