"""Try it: what is written in the editor is checked, completed, tried on what was seen, and written to its file; nothing
that somebody wrote is lost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from consoles import Console, OpenConsole, project
from daemons import daemon_of
from playwright.async_api import Dialog, Locator, expect
from pydantic import JsonValue

from connectors import memory
from router.daemon import Daemon
from router.testing import until

RULES = """\
# Orders of both front ends.
flow: shop
from: [web, app]
contract: {schema: shop.json}
let: {big: event.amount > 500}
rules:
  - name: vip  # agreed with sales
    when: big && event.user.plan == "pro"
    to: vip
    continue: true
  - name: counted
    when: int(event.quantity) > 0
    to: archive
  - {name: rest, to: archive}
tests:
  - name: a big order of a pro
    given: [{event: {amount: 900, quantity: 2, user: {plan: pro}}}]
    then: {vip: 1, archive: 1}
"""
SCHEMA = {
    "type": "object",
    "properties": {
        "amount": {"type": "number"},
        "user": {"type": "object", "properties": {"plan": {"enum": ["pro", "free"]}}},
    },
}
GOOD: JsonValue = {"amount": 900, "quantity": 2, "user": {"plan": "pro"}, "seen": True}
BAD: JsonValue = {"amount": 7, "quantity": "two", "user": {"plan": "free"}}


def shop(folder: Path, more: str = "") -> Path:
    """The daemon's file of a shop whose rule `counted` fails where a quantity is no number."""
    path = project(folder, more, shop=RULES)
    (folder / "rules" / "shop.json").write_text(json.dumps(SCHEMA))
    path.write_text(path.read_text() + "vars: {limit: 500}\n")
    return path


async def editor_of(console: Console) -> Locator:
    """The text that can be written."""
    found = console.get("textbox", "Text of rules/shop.yaml")
    await expect(found).to_be_visible()
    await console.sees("no faults")
    return found


async def text_of(console: Console) -> Locator:
    """The same, whatever is said of it."""
    return console.get("textbox", "Text of rules/shop.yaml")


async def rewrite(console: Console, line: str, by: str) -> None:
    """Write something in place of a line, as somebody would who types all of it."""
    await (await editor_of(console)).locator(".cm-line", has_text=line).click()
    await console.page.keyboard.press("Home")
    await console.page.keyboard.press("Shift+End")
    await console.page.keyboard.insert_text(by)
    await console.page.mouse.move(0, 0)  # away from what is told about the word below it


async def mend(console: Console) -> None:
    """The rule as it should be."""
    await rewrite(console, "int(event.quantity)", "when: type(event.quantity) == int")
    await console.sees("edited, not applied")


SEEN = (GOOD, BAD, BAD)
"""Records that have come: the rule `counted` fails with two of them."""


@asynccontextmanager
async def at_work(
    open_console: OpenConsole, folder: Path, address: str, *, seen: Sequence[JsonValue] = (), more: str = ""
) -> AsyncIterator[tuple[Daemon, Console]]:
    """Somebody at a page of a shop, where these records were seen. The page is closed before the daemon stops; that
    texts were refused, which the browser says, is no complaint."""
    async with daemon_of(shop(folder, more)) as daemon:
        if seen:
            memory.source("web").push(memory.records(*seen))
            await until(lambda: daemon.samples.sample("shop"))
        console = await open_console(daemon, address)
        yield daemon, console
        await console.close()
        console.complaints = [one for one in console.complaints if "responded with a status of 4" not in one]


def panel(console: Console, name: str) -> Locator:
    """A part of the page."""
    return console.get("region", name)


async def test_what_is_wrong_is_shown_at_its_place_with_what_would_be_right(
    open_console: OpenConsole, tmp_path: Path
) -> None:
    async with at_work(open_console, tmp_path, "#/try/shop") as (_, console):
        await rewrite(console, "int(event.quantity)", "when: it(event.quantity) > 0")
        fault = panel(console, "Check").get_by_role("button", name="shop.yaml:12")
        await expect(fault).to_contain_text("int")
        await expect(console.page.locator(".cm-lintRange-error")).to_have_text("it")
        await console.page.locator(".cm-line").first.click()
        await expect(console.page.get_by_text("line 1", exact=True)).to_be_visible()
        await fault.click()
        await expect(console.page.get_by_text("line 12", exact=True)).to_be_visible()
        await console.is_accessible()


async def test_the_tests_in_the_text_are_run(open_console: OpenConsole, tmp_path: Path) -> None:
    async with at_work(open_console, tmp_path, "#/try/shop") as (_, console):
        await editor_of(console)
        await console.sees("1 test passes")
        await rewrite(console, "then:", "then: {vip: 2, archive: 1}")
        await console.sees("1 of 1 test fails")
        await expect(panel(console, "Check").get_by_role("button", name="a big order of a pro")).to_contain_text("vip")


async def test_it_completes_what_is_known_there(open_console: OpenConsole, tmp_path: Path) -> None:
    async with at_work(open_console, tmp_path, "#/try/shop", seen=SEEN) as (_, console):
        known = console.get("listbox", "Completions").get_by_role("option")
        for begun, name, told in (
            ("when: event.us", "user", "map · contract, traffic"),
            ("when: event.se", "seen", "bool · traffic"),
            ("when: event.user.pl", "plan", "string · contract, traffic"),
            ("when: meta.so", "source", "string"),
            ("when: vars.li", "limit", "int · vars"),
            ("when: bi", "big", "let"),
            ("when: event.name.startsW", "startsWith", "→ bool"),
            ("when: hash.sha2", "sha256", "→ string"),
            ('set: {event.x: "${mask.em', "email", "→ string"),
            ("to: vi", "vip", "sink"),
            ("to: [archive, dea", "dead_letter", "end"),
            ("thr", "throttle", ""),
        ):
            await (await text_of(console)).locator(".cm-line").nth(11).click()
            await console.page.keyboard.press("Home")
            await console.page.keyboard.press("Shift+End")
            await console.page.keyboard.type(begun)
            await expect(known.first).to_contain_text(name)
            await expect(known.first).to_contain_text(told)
            await console.page.keyboard.press("Escape")
        await console.page.keyboard.press("Shift+End")


async def test_a_function_is_told_with_its_types_and_an_example(open_console: OpenConsole, tmp_path: Path) -> None:
    async with at_work(open_console, tmp_path, "#/try/shop") as (_, console):
        await rewrite(console, "int(event.quantity)", "when: ")
        await console.page.keyboard.type("event.name.startsW")
        await console.sees('"order".startsWith("or") == true')
        await console.get("listbox", "Completions").get_by_role("option").first.click()
        await console.page.keyboard.type('"a"')
        await expect(console.page.locator(".cm-activeLine")).to_contain_text('event.name.startsWith("a")')
        await console.sees("no faults")


async def test_each_rule_tells_what_it_did(open_console: OpenConsole, tmp_path: Path) -> None:
    async with at_work(open_console, tmp_path, "#/try/shop?line=11", seen=SEEN) as (_, console):
        await expect(console.page.locator(".cm-line", has_text="name: counted")).to_contain_text("1, 2 errors")
        await expect(console.page.locator(".try-foot")).to_contain_text("rule counted: 1 record, 2 errors")
        await console.page.locator(".cm-line", has_text="name: counted").hover(position={"x": 60, "y": 8})
        await console.sees("Since the daemon started: 1 record, 2 errors.")


async def test_what_would_move_is_counted_and_explained(open_console: OpenConsole, tmp_path: Path) -> None:
    async with at_work(open_console, tmp_path, "#/try/shop?on=dead", seen=SEEN) as (_, console):
        await mend(console)
        await console.page.keyboard.press("Control+Enter")
        preview = panel(console, "Preview")
        await expect(preview).to_contain_text("2 would go through")
        await expect(preview.get_by_role("row", name="dead letters error counted")).to_contain_text("−2")
        await expect(preview.get_by_role("row", name="archive rest")).to_contain_text("+2")
        await preview.get_by_text('"quantity":"two"').first.click()
        await expect(preview.get_by_text("type(event.quantity) == int").first).to_be_visible()
        await console.is_accessible()
        await preview.get_by_role("button", name="samples").click()
        await preview.get_by_role("button", name="Preview").click()
        await expect(preview).to_contain_text("2 would be dead letters no more")
        await rewrite(console, "type(event.quantity)", "when: event.quantity != null")
        await expect(preview).to_contain_text("Of an earlier text")


async def test_integers_of_any_size_are_previewed_digit_for_digit(open_console: OpenConsole, tmp_path: Path) -> None:
    huge: JsonValue = {"quantity": "two", "id": 9007199254740993, "more": [12345678901234567890123]}
    async with at_work(open_console, tmp_path, "#/try/shop?on=dead", seen=[GOOD, huge]) as (_, console):
        await mend(console)
        await console.page.keyboard.press("Control+Enter")
        preview = panel(console, "Preview")
        await preview.get_by_text('"id":9007199254740993,"more":[12345678901234567890123]').first.click()
        await expect(preview.get_by_role("region", name="Record")).to_contain_text('"id": 9007199254740993')


async def test_what_is_applied_is_written_as_it_stands_and_runs(open_console: OpenConsole, tmp_path: Path) -> None:
    async with at_work(open_console, tmp_path, "#/try/shop", seen=SEEN) as (daemon, console):
        await mend(console)
        before = daemon.configuration.version
        await console.page.keyboard.press("Control+s")
        question = console.get("dialog", "Apply")
        await expect(question).to_contain_text("type(event.quantity) == int")
        await console.page.keyboard.press("Tab")
        await expect(question.get_by_role("textbox", name="What changes in rules/shop.yaml")).to_be_focused()
        await expect(question.locator(".text-diff")).to_have_css("outline-style", "solid")
        await console.is_accessible()
        await question.get_by_role("button", name="Write the file and reload").click()
        await console.sees("as it runs")
        await expect(console.get("status", "Applied")).to_contain_text("flow shop changed (rule counted changed)")
        await expect(console.get("link", "Its 2 dead letters can be replayed")).to_be_visible()
        await console.is_accessible()
        mended = RULES.replace("int(event.quantity) > 0", "type(event.quantity) == int")
        assert (tmp_path / "rules" / "shop.yaml").read_text() == mended
        assert daemon.configuration.version != before


async def test_lines_end_in_a_file_as_they_did(open_console: OpenConsole, tmp_path: Path) -> None:
    path = shop(tmp_path)
    rules = tmp_path / "rules" / "shop.yaml"
    rules.write_bytes(RULES.replace("\n", "\r\n").encode())
    async with daemon_of(path) as daemon:
        console = await open_console(daemon, "#/try/shop")
        await editor_of(console)
        await console.sees("as it runs")
        await mend(console)
        await console.page.keyboard.press("Control+s")
        await console.get("button", "Write the file and reload").click()
        await expect(console.get("status", "Applied")).to_be_visible()
        mended = RULES.replace("int(event.quantity) > 0", "type(event.quantity) == int")
        assert rules.read_bytes() == mended.replace("\n", "\r\n").encode()
        await console.close()


async def test_what_somebody_else_wrote_meanwhile_is_not_lost(open_console: OpenConsole, tmp_path: Path) -> None:
    path = tmp_path / "rules" / "shop.yaml"
    async with at_work(open_console, tmp_path, "#/try/shop") as (_, console):
        await mend(console)
        theirs = RULES.replace("agreed with sales", "agreed with sales and legal")
        path.write_text(theirs)
        await console.page.keyboard.press("Control+s")
        question = console.get("dialog", "Apply")
        conflict = question.get_by_role("alert", name="Changed on disk")
        await conflict.get_by_text("What changed on disk").click()
        await expect(conflict.locator(".cm-changedLine")).to_contain_text("and legal")
        await expect(question.get_by_role("button", name="Write")).to_have_count(0)
        await console.is_accessible()
        await conflict.get_by_role("button", name="Load it").click()
        await expect(question).to_contain_text("Nothing is left to be written")
        await expect(question.get_by_role("button", name="Write")).to_be_disabled()
        assert path.read_text() == theirs
        await question.get_by_role("button", name="Not now").click()
        await expect(await text_of(console)).to_contain_text("agreed with sales and legal")
        await expect(await text_of(console)).to_contain_text("int(event.quantity) > 0")


async def mend_beside_another(console: Console, daemon: Daemon, path: Path) -> None:
    """Mend the text, while somebody else has changed the file, which runs."""
    await mend(console)
    path.write_text(RULES.replace("agreed with sales", "agreed with sales and legal"))
    await daemon.reload("a test")
    await expect(console.get("alert", "Changed on disk")).to_be_visible()


async def test_what_is_written_over_somebody_elses_text_is_told_against_it(
    open_console: OpenConsole, tmp_path: Path
) -> None:
    path = tmp_path / "rules" / "shop.yaml"
    async with at_work(open_console, tmp_path, "#/try/shop") as (daemon, console):
        await mend_beside_another(console, daemon, path)
        await console.page.keyboard.press("Control+s")
        question = console.get("dialog", "Apply")
        await expect(question.get_by_role("button", name="Write")).to_have_count(0)
        await question.get_by_role("button", name="Keep mine").click()
        await expect(question.locator(".cm-deletedLine").first).to_contain_text("and legal")
        await expect(question).to_contain_text("type(event.quantity) == int")
        # Once more while the question stands: it is asked again, not lost.
        latest = RULES.replace("agreed with sales", "agreed with legal")
        path.write_text(latest)
        await question.get_by_role("button", name="Write the file and reload").click()
        await expect(question.get_by_role("alert", name="Changed on disk")).to_be_visible()
        assert path.read_text() == latest
        await question.get_by_role("button", name="Keep mine").click()
        await question.get_by_role("button", name="Write the file and reload").click()
        await expect(console.get("status", "Applied")).to_be_visible()
        assert path.read_text() == RULES.replace("int(event.quantity) > 0", "type(event.quantity) == int")


async def test_what_somebody_else_wrote_is_shown_once_it_runs(open_console: OpenConsole, tmp_path: Path) -> None:
    path = tmp_path / "rules" / "shop.yaml"
    async with at_work(open_console, tmp_path, "#/try/shop") as (daemon, console):
        await mend_beside_another(console, daemon, path)


async def test_a_file_that_cannot_be_written_says_why(open_console: OpenConsole, tmp_path: Path) -> None:
    address = "#/try?file=sluiceway.yaml"
    async with at_work(open_console, tmp_path, address, more=", token: knock-knock") as (_, console):
        await console.get("textbox", "Token").fill("knock-knock")
        await console.get("button", "Continue").click()
        await console.sees("cannot be applied here: it holds a secret")
        text = console.get("textbox", "Text of sluiceway.yaml")
        await expect(text).not_to_contain_text("knock-knock")
        await text.locator(".cm-line", has_text="vars:").click()
        await console.page.keyboard.press("End")
        await console.page.keyboard.type("  # more")
        await console.page.keyboard.press("Control+s")
        await expect(console.get("button", "Write the file and reload")).to_be_disabled()
        await expect(console.get("dialog", "Apply")).to_contain_text("it holds a secret")
        await expect(console.get("button", "Download the text")).to_be_visible()


async def test_what_was_written_is_there_after_leaving_and_loading_the_page_anew(
    open_console: OpenConsole, tmp_path: Path
) -> None:
    async with at_work(open_console, tmp_path, "#/try/shop") as (_, console):
        await mend(console)
        await console.go("#/")
        await console.sees("All well")
        await console.go("#/try/shop")
        await expect(await text_of(console)).to_contain_text("type(event.quantity) == int")
        asked: list[str] = []

        async def leave(dialog: Dialog) -> None:
            asked.append(dialog.type)
            await dialog.accept()

        console.page.on("dialog", leave)
        await console.page.reload()
        assert asked == ["beforeunload"]
        await expect(await text_of(console)).to_contain_text("type(event.quantity) == int")
        await console.get("button", "Discard").click()
        await expect(await text_of(console)).to_contain_text("int(event.quantity) > 0")
        await console.page.reload()
        assert len(asked) == 1


async def test_the_keyboard_leads_out_of_the_text(open_console: OpenConsole, tmp_path: Path) -> None:
    async with at_work(open_console, tmp_path, "#/try/shop") as (_, console):
        text = await editor_of(console)
        await text.locator(".cm-line").first.click()
        await console.page.keyboard.press("Tab")
        await expect(text).to_be_focused()
        await expect(text.locator(".cm-line").first).to_have_text("  # Orders of both front ends.")
        await console.page.keyboard.press("Escape")
        await console.page.keyboard.press("Tab")
        await expect(text).not_to_be_focused()


async def test_a_schema_can_be_changed_beside_its_rules(open_console: OpenConsole, tmp_path: Path) -> None:
    async with at_work(open_console, tmp_path, "#/try/shop", seen=SEEN) as (_, console):
        await editor_of(console)
        await console.get("combobox", "File").select_option(label="rules/shop.json")
        text = console.get("textbox", "Text of rules/shop.json")
        await text.click()
        await console.page.keyboard.press("Control+a")
        await console.page.keyboard.press("Delete")  # what Chromium puts in place of a selection, it styles
        await console.page.keyboard.insert_text(json.dumps({"required": ["nothing"]}))
        await console.page.keyboard.press("Control+Enter")
        await expect(panel(console, "Preview")).to_contain_text("would become dead letters")
