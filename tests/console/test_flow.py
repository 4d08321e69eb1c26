"""A flow and its records: what the pages say of rules is what they did, and why is told to the last expression."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from consoles import SHOP, OpenConsole, project
from daemons import daemon_of
from playwright.async_api import expect
from pydantic import JsonValue

from connectors import memory
from router.daemon import Daemon
from router.testing import until

BIG: JsonValue = {"type": "order", "amount": 900, "plan": "pro"}
VISIT: JsonValue = {"type": "visit", "amount": 0, "plan": "free"}
BEAT: JsonValue = {"type": "heartbeat", "amount": 0}
NEGATIVE: JsonValue = {"type": "order", "amount": -1, "plan": "free"}


@asynccontextmanager
async def shop(folder: Path, *values: JsonValue, rules: str = SHOP) -> AsyncIterator[Daemon]:
    """A daemon through which these have gone."""
    async with daemon_of(project(folder, shop=rules)) as daemon:
        memory.source("web").push(memory.records(*values))
        async with asyncio.timeout(10):
            while not daemon.samples.sample("shop"):
                await asyncio.sleep(0.02)
        yield daemon


async def test_rules_stand_in_order_with_what_they_did(open_console: OpenConsole, tmp_path: Path) -> None:
    async with shop(tmp_path, *[BIG] * 4, *[VISIT] * 3, *[BEAT] * 2, NEGATIVE) as daemon:
        console = await open_console(daemon, "#/flows/shop")
        rules = console.get("region", "Rules").get_by_role("listitem")
        await expect(rules).to_have_count(3)
        for place, (name, records) in enumerate([("heartbeats", 2), ("vip", 4), ("rest", 7)]):
            await expect(rules.nth(place)).to_contain_text(name)
            await expect(rules.nth(place).locator(".rule-count b")).to_have_text(str(records))
        await expect(console.get("region", "Contract")).to_contain_text("amount is not negative 1 broke it")
        await console.is_accessible()


async def test_a_rule_is_shown_as_it_is_written_with_records_that_came_to_it(
    open_console: OpenConsole, tmp_path: Path
) -> None:
    async with shop(tmp_path, BIG, VISIT, BEAT) as daemon:
        console = await open_console(daemon, "#/flows/shop")
        await console.get("link", "vip").first.click()
        rule = console.get("region", "Rule vip")
        await expect(rule).to_contain_text('big && event.plan == "pro"')
        await expect(rule).to_contain_text("later rules see the record, too")
        samples = console.get("list", "Sampled records").get_by_role("listitem")
        await expect(samples).to_have_count(1)
        await expect(samples).to_contain_text('"amount":900')
        assert console.page.url.endswith("#/flows/shop?rule=vip")
        await console.is_accessible()


async def test_a_record_tells_what_came_each_value_and_what_left(open_console: OpenConsole, tmp_path: Path) -> None:
    async with shop(tmp_path, BIG) as daemon:
        console = await open_console(daemon, "#/flows/shop")
        await console.get("list", "Sampled records").get_by_role("link").first.click()
        await expect(console.get("region", "What came")).to_contain_text('"amount": 900')
        why = console.get("region", "Why")
        await expect(why).to_contain_text("amount is not negative")
        await why.get_by_text('big && event.plan == "pro"').click()
        await expect(why.get_by_text("event.amount > 500")).to_be_visible()
        left = console.get("region", "What left")
        await expect(left.get_by_role("listitem")).to_have_count(2)
        await expect(left.get_by_role("listitem").first).to_contain_text('"tier": "gold"')
        await expect(console.page.locator(".times")).to_contain_text("settled")
        await console.is_accessible()


async def test_a_record_that_a_sink_refused_is_no_success_and_leads_to_its_letters(
    open_console: OpenConsole, tmp_path: Path
) -> None:
    memory.sink("vip").on_write = lambda batch: memory.refuse(batch, *batch.values, reason="the index is read-only")
    async with shop(tmp_path, BIG) as daemon:
        await until(lambda: daemon.store.counts().get("shop") and daemon.samples.sample("shop")[0].fate.settled)
        console = await open_console(daemon, "#/flows/shop")
        row = console.get("list", "Sampled records").get_by_role("link").first
        await expect(row.locator(".end-tag.bad")).to_have_text("→ vip: dead letter")
        await expect(row.locator(".end-tag.good")).to_have_text("→ archive")
        await row.click()
        ends = console.get("region", "What left").get_by_role("listitem")
        refused, delivered = ends.filter(has_text="vip"), ends.filter(has_text="archive")
        await expect(delivered).to_contain_text("delivered")
        await expect(refused).to_contain_text("the index is read-only")
        await expect(refused).not_to_contain_text("delivered")
        await console.is_accessible()
        await refused.get_by_role("link", name="Dead letters").click()
        await expect(console.get("list", "Dead letters").get_by_role("listitem")).to_have_count(1)


async def test_deliveries_to_one_sink_are_told_apart(open_console: OpenConsole, tmp_path: Path) -> None:
    rules = SHOP.replace("to: archive}", "to: [{sink: vip, set: {event.tier: all}}]}")
    async with shop(tmp_path, BIG, rules=rules) as daemon:
        console = await open_console(daemon, "#/flows/shop")
        await console.get("list", "Sampled records").get_by_role("link").first.click()
        await expect(console.get("region", "What went out to vip, 1")).to_contain_text("gold")
        await expect(console.get("region", "What went out to vip, 2")).to_contain_text("all")
        await console.is_accessible()


async def test_what_a_reload_changed_is_said(open_console: OpenConsole, tmp_path: Path) -> None:
    async with shop(tmp_path, BIG) as daemon:
        console = await open_console(daemon, "#/flows/shop")
        await expect(console.get("region", "Rules").get_by_role("listitem")).to_have_count(3)
        rules = tmp_path / "rules" / "shop.yaml"
        more = "\n  - {name: bulk, when: event.amount > 5000, to: archive}\n  - {name: rest, to: archive}"
        rules.write_text(rules.read_text().replace("\n  - {name: rest, to: archive}", more))
        await daemon.reload("asked", "test")
        await expect(console.get("region", "The last reload")).to_contain_text("Added bulk")
        await expect(console.get("region", "Rules").get_by_role("listitem")).to_have_count(4)


async def test_a_record_that_is_kept_no_longer_leads_to_newer_ones(open_console: OpenConsole, tmp_path: Path) -> None:
    async with shop(tmp_path, BIG) as daemon:
        console = await open_console(daemon, "#/flows/shop/samples/1")
        await console.sees("This record is not kept any more")
        await console.get("link", "Newer ones of shop").click()
        await console.sees("Sampled records")
        console.complaints.clear()  # the browser says that there is no such page


HUGE = (9007199254740993, 12345678901234567890123)
"""Integers that are no float of 64 bits."""
EXACT = """\
flow: shop
from: [web, app]
rules:
  - {name: none, when: "[event.id].exists(i, i == 0) || event.more == {}", to: vip}
  - {name: rest, to: [{sink: archive, set: {event.tier: gold}}]}
"""


async def test_integers_of_any_size_are_shown_digit_for_digit(open_console: OpenConsole, tmp_path: Path) -> None:
    async with daemon_of(project(tmp_path, shop=EXACT)) as daemon:
        memory.source("web").push(memory.records({"id": HUGE[0], "more": {"n": HUGE[1]}, "small": 1.5}))
        async with asyncio.timeout(10):
            while not daemon.samples.sample("shop"):
                await asyncio.sleep(0.02)
        console = await open_console(daemon, "#/flows/shop")
        listed = console.get("list", "Sampled records").get_by_role("link").first
        await expect(listed).to_contain_text(f'{{"id":{HUGE[0]},"more":{{"n":{HUGE[1]}}},"small":1.5}}')
        await listed.click()
        await expect(console.get("region", "The event")).to_contain_text(f'"n": {HUGE[1]}')
        await expect(console.get("region", "The event")).to_contain_text(f'"id": {HUGE[0]}')
        why = console.get("region", "Why")
        while await why.locator("details:not([open]) > summary:visible").count():
            await why.locator("details:not([open]) > summary:visible").first.click()
        for value in HUGE:
            await expect(why.locator(".outcome, .label").filter(has_text=str(value)).first).to_be_visible()
        await expect(console.get("region", "What went out to archive")).to_contain_text(f'"id": {HUGE[0]}')
