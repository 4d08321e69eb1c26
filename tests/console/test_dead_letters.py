"""Dead letters: why they are kept is seen, what they are is repaired, and they go through until there are none."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Collection
from pathlib import Path

from consoles import Console, OpenConsole, project
from daemons import daemon_of
from playwright.async_api import Locator, expect
from pydantic import JsonValue

from connectors import memory
from router import Batch
from router.daemon import Daemon
from router.letter import Letter

ORDER: JsonValue = {"type": "order", "amount": 900, "plan": "pro"}
NEGATIVE: JsonValue = {"type": "order", "amount": -3, "id": 9007199254740993123}
MARKUP = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"


def refuse(batch: Batch) -> None:
    """The sink takes nothing."""
    memory.refuse(batch, *batch.values, reason="the index is read-only")


async def kept(daemon: Daemon, letters: int) -> None:
    """Wait until so many are kept."""
    async with asyncio.timeout(20):
        while sum(daemon.store.counts().values()) != letters:
            await asyncio.sleep(0.02)


async def keep(daemon: Daemon, *values: JsonValue | bytes) -> None:
    """Have these as dead letters, each of a batch of its own kind; none were there before."""
    memory.source("web").push(memory.records(*values))
    await kept(daemon, len(values))


def letter(value: bytes, **more: str) -> Letter:
    """One of the flow."""
    told = {"detail": "it did not want it", "rule": "rest", "reason": "error", **more}
    return Letter(time=time.time_ns(), flow="shop", stage="rule", source="web", value=value, **told)  # type: ignore[arg-type] # they are texts


def rows(console: Console) -> Locator:
    """Those of the list that are drawn."""
    return console.get("list", "Dead letters").get_by_role("listitem")


async def retype(console: Console, field: str, what: str, by: str) -> None:
    """Write something in place of something else in an editor."""
    editor = console.get("textbox", field)
    text = await editor.inner_text()
    await editor.press("Control+a")
    await editor.press("Delete")
    await console.page.keyboard.insert_text(text.replace(what, by))


def written(sink: str) -> Collection[bytes]:
    """The payloads that a sink has."""
    return memory.sink(sink).values


async def test_groups_say_why_and_lead_to_their_letters(open_console: OpenConsole, tmp_path: Path) -> None:
    memory.sink("vip").on_write = refuse
    async with daemon_of(project(tmp_path)) as daemon:
        await keep(daemon, NEGATIVE, NEGATIVE, NEGATIVE, ORDER, b"{no")
        console = await open_console(daemon, "#/dead-letters")
        groups = console.get("region", "Grouped by reason").get_by_role("listitem")
        await expect(groups).to_have_count(3)
        await expect(groups.first).to_contain_text("amount is not negative")
        await expect(rows(console)).to_have_count(5)
        await console.is_accessible()
        await groups.filter(has_text="the index is read-only").get_by_role("link").click()
        await expect(rows(console)).to_have_count(1)
        assert "sink=vip" in console.page.url
        await console.get("combobox", "sink").select_option("any")
        await console.get("link", "Clear").click()
        await expect(rows(console)).to_have_count(5)
        await console.get("combobox", "stage").select_option("contract")
        await expect(rows(console)).to_have_count(3)
        await console.page.go_back()
        await expect(rows(console)).to_have_count(5)


async def test_a_condition_chooses_letters_and_a_faulty_one_is_told(open_console: OpenConsole, tmp_path: Path) -> None:
    async with daemon_of(project(tmp_path)) as daemon:
        values: list[JsonValue] = [{"amount": -n} for n in range(1, 8)]
        await keep(daemon, *values)
        console = await open_console(daemon, "#/dead-letters")
        await expect(rows(console)).to_have_count(7)
        await console.page.keyboard.press("/")
        await console.page.keyboard.type("event.amount < -5")
        await console.page.keyboard.press("Enter")
        await expect(rows(console)).to_have_count(2)
        await console.get("button", "Purge …").click()
        await expect(console.get("dialog", "Purge 2 dead letters?")).to_be_visible()
        await console.get("button", "Cancel").click()
        field = console.get("textbox", "Those for which this holds (CEL)")
        await field.fill("evnt.amount <")
        await field.press("Enter")
        await expect(console.get("alert")).to_contain_text("when:")
        console.complaints.clear()  # the browser says that it was refused


async def test_a_letter_tells_why_and_what_goes_out_is_amended(open_console: OpenConsole, tmp_path: Path) -> None:
    memory.sink("vip").on_write = refuse
    async with daemon_of(project(tmp_path)) as daemon:
        await keep(daemon, ORDER)
        console = await open_console(daemon, "#/dead-letters/1")
        await console.sees("the index is read-only")
        now = console.get("region", "By the rules as they are now")
        await expect(now).to_contain_text("goes to vip")
        await now.get_by_text("Why", exact=True).click()
        await console.sees('event.plan == "pro"')
        await expect(console.get("region", "The record").first).not_to_contain_text("gold")
        await expect(console.get("region", "What was to go out").first).to_contain_text('"tier": "gold"')
        await console.is_accessible()
        await console.get("button", "Edit what goes out").click()
        await retype(console, "What goes out", "gold", "silver")
        await console.get("button", "Amend", exact=True).click()
        await console.sees("What was to go out before it was amended")
        await expect(console.get("region", "What is to go out")).to_contain_text("silver")
        memory.sink("vip").on_write = None
        await console.get("button", "Replay", exact=True).click()
        await console.sees("It is no dead letter any more")
        assert list(written("vip")) == [b'{"type":"order","amount":900,"plan":"pro","tier":"silver"}']
        console.complaints.clear()  # the browser says that it is not there


async def test_all_of_a_filter_go_through_at_a_rate_until_there_are_none(
    open_console: OpenConsole, tmp_path: Path
) -> None:
    memory.sink("vip").on_write = refuse
    async with daemon_of(project(tmp_path)) as daemon:
        await keep(daemon, *[ORDER] * 60)
        memory.sink("vip").on_write = None
        console = await open_console(daemon, "#/dead-letters?sink=vip")
        await console.get("button", "Replay all 60 …").click()
        await console.get("spinbutton", "At most so many a second").fill("60")
        await console.sees("It takes about 1 s.")
        await console.get("dialog", "Replay 60 dead letters").get_by_role("button", name="Replay 60").click()
        await expect(console.get("progressbar", "Replayed")).to_be_visible()
        await console.sees("All 60 went through")
        await console.sees("No dead letters are like this")
        assert len(written("vip")) == 60
        await console.is_accessible()


async def test_what_is_not_on_its_way_can_be_withdrawn(open_console: OpenConsole, tmp_path: Path) -> None:
    async with daemon_of(project(tmp_path)) as daemon:
        await keep(daemon, *[NEGATIVE] * 40)
        console = await open_console(daemon, "#/dead-letters")
        await console.get("button", "Replay all 40 …").click()
        await console.get("spinbutton", "At most so many a second").fill("5")
        await console.get("dialog").get_by_role("button", name="Replay 40").click()
        await console.get("button", "Withdraw the rest").click()
        await console.sees("gone or withdrawn")
        assert sum(daemon.store.counts().values()) == 40


async def test_letters_are_chosen_and_replayed_by_the_keyboard(open_console: OpenConsole, tmp_path: Path) -> None:
    memory.sink("vip").on_write = refuse
    async with daemon_of(project(tmp_path)) as daemon:
        await keep(daemon, *[ORDER] * 4)
        memory.sink("vip").on_write = None
        console = await open_console(daemon, "#/dead-letters")
        await expect(rows(console)).to_have_count(4)
        for key in "jxjj":
            await console.page.keyboard.press(key)
        await console.get("checkbox", "Choose letter 3").click()
        await console.sees("2 chosen")
        await console.page.keyboard.press("r")
        await console.get("dialog").get_by_role("button", name="Replay 2").click()
        await console.sees("All 2 went through")
        await expect(rows(console)).to_have_count(2)
        await console.page.keyboard.press("k")
        await console.page.keyboard.press("Enter")
        await expect(console.get("article", "Dead letter 4")).to_be_visible()
        await console.page.keyboard.press("r")
        await console.sees("It is no dead letter any more")
        assert [one.id async for one in daemon.store.find()] == [2]
        console.complaints.clear()  # the browser says that it is not there


async def test_a_record_is_amended_beside_where_it_would_go(open_console: OpenConsole, tmp_path: Path) -> None:
    async with daemon_of(project(tmp_path)) as daemon:
        await keep(daemon, NEGATIVE)
        console = await open_console(daemon, "#/dead-letters/1")
        await console.get("button", "Edit the record").click()
        preview = console.get("region", "Where it would go")
        await expect(preview).to_contain_text("a dead letter again")
        await console.is_accessible()
        await retype(console, "The record", "-3", "3")
        await expect(preview).to_contain_text("goes to archive")
        await console.get("button", "Amend and replay").click()
        await console.sees("It is no dead letter any more")
        # On one line as it came, and no digit is lost.
        assert list(written("archive")) == [b'{"type":"order","amount":3,"id":9007199254740993123}']
        console.complaints.clear()


async def test_a_purge_says_how_many_and_takes_no_more(open_console: OpenConsole, tmp_path: Path) -> None:
    async with daemon_of(project(tmp_path)) as daemon:
        await keep(daemon, *[NEGATIVE] * 3)
        console = await open_console(daemon, "#/dead-letters?stage=contract")
        await console.get("button", "Purge …").click()
        dialog = console.get("dialog", "Purge 3 dead letters?")
        await expect(dialog).to_contain_text("3 records will be gone for ever")
        await console.is_accessible()
        await asyncio.sleep(0.005)  # times are told in milliseconds
        memory.source("web").push(memory.records(NEGATIVE))
        await kept(daemon, 4)
        await dialog.get_by_role("button", name="Purge 3").click()
        await console.sees("3 dead letters purged")
        await kept(daemon, 1)


async def test_no_letter_can_break_out_and_a_long_one_is_shown_on_demand(
    open_console: OpenConsole, tmp_path: Path
) -> None:
    async with daemon_of(project(tmp_path)) as daemon:
        await daemon.store.add_many(
            [
                letter(json.dumps({"a": MARKUP}).encode(), reason=MARKUP, detail=MARKUP, rule=MARKUP),
                letter("user\u202enimda \x1b[31m".encode(), detail="\x1b[2J\u202e"),
                letter(b"\xff\xfe\x00<b>"),
                letter(b'{"long": "' + b"<b>" * 1_700_000 + b'"}'),
                letter(b"[" * 100_000 + b"]" * 100_000),
            ]
        )
        console = await open_console(daemon, "#/dead-letters")
        await expect(rows(console)).to_have_count(5)
        shown = ("<script>document.title", "user‹U+202E›nimda ␛[31m", "ff fe 00 3c 62 3e", '{"long": "<b>', "[[[[")
        for id_, text in enumerate(shown, start=1):
            await console.go(f"#/dead-letters/{id_}")
            await expect(console.get("region", "The record", exact=True).first).to_contain_text(text)
        await console.go("#/dead-letters/4")
        await console.get("button", "Show all (4.9 MiB)").click()
        everything = console.get("list", "The record")
        await expect(everything).to_contain_text("<b><b>")
        await expect(everything.get_by_role("listitem").first).to_have_attribute("aria-setsize", "31878")
        assert await console.page.locator("main *").count() < 1_500
        assert await console.page.title() == "Sluiceway"
        assert await console.page.locator("main img, main script, main b b").count() == 0


async def test_a_hundred_thousand_letters_are_a_short_list(open_console: OpenConsole, tmp_path: Path) -> None:
    async with daemon_of(project(tmp_path)) as daemon:
        many = [letter(b'{"n":%d}' % n) for n in range(100_000)]
        for start in range(0, len(many), 10_000):
            await daemon.store.add_many(many[start : start + 10_000])
        console = await open_console(daemon, "#/dead-letters")
        await console.get("button", "Replay all 100,000 …").wait_for()
        await console.sees("The oldest 200 of 100k")
        for _ in range(5):
            await console.get("list", "Dead letters").evaluate("list => list.scrollTo(0, list.scrollHeight)")
            await asyncio.sleep(0.1)
        await expect(rows(console).first).not_to_contain_text('{"n":0}')
        assert await rows(console).count() < 60
        await console.get("button", "Purge …").click()
        await expect(console.get("dialog", "Purge 100k dead letters?")).to_contain_text("Purge 100,000")
