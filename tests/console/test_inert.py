"""What comes from outside stands on the page as text, whatever is in it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from consoles import Console, Look, OpenConsole, project
from daemons import daemon_of
from playwright.async_api import expect
from pydantic import JsonValue

from connectors import memory
from router import Batch, NotConnected
from router.daemon import Daemon
from router.sampling import Sampled

RULES = """\
flow: any
from: [web, app]
rules:
  - {name: all, to: archive}
"""
MARKUP = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"
WAYS_OUT: list[tuple[JsonValue, str]] = [
    ({"a": MARKUP}, "<script>document.title"),
    ({"a": "javascript:document.title='broken'//${7*7}{{7*7}}"}, "${7*7}{{7*7}}"),
    ({"a": "user\u202enimda\u2066"}, "user‹U+202E›nimda‹U+2066›"),
    ({"a": "zero\u200bwidth\ufeff"}, "zero‹U+200B›width‹U+FEFF›"),
    ({"a": "\x1b[2J\x1b]0;broken\x07"}, r"\u001b[2J"),
    ({MARKUP: {MARKUP: 1}}, "<img src=x"),
    ("\x1b[2J \u202e text", "text"),
]
"""Payloads, and what is seen of each."""


async def _kept(daemon: Daemon, value: bytes, flow: str = "any") -> Sampled:
    """A record with this payload, once one is kept: of those that come, not each is."""
    async with asyncio.timeout(10):
        while True:
            memory.source("web").push(Batch([value]))
            await asyncio.sleep(0.1)
            for sampled in daemon.samples.sample(flow):
                if sampled.batch.values == [value]:
                    return sampled


async def _record(open_console: OpenConsole, daemon: Daemon, value: Any) -> Console:
    """The page of a record."""
    kept = await _kept(daemon, value if isinstance(value, bytes) else json.dumps(value).encode())
    return await open_console(daemon, f"#/flows/any/samples/{kept.id}")


async def _is_whole(console: Console) -> None:
    """Nothing of it became part of the page."""
    assert "broken" not in await console.page.title()
    assert await console.page.locator("main img, main script, main iframe").count() == 0


async def test_no_event_can_break_out(open_console: OpenConsole, tmp_path: Path) -> None:
    async with daemon_of(project(tmp_path, any=RULES)) as daemon:
        console = await open_console(daemon, "#/flows/any")
        for value, shown in WAYS_OUT:
            await console.go(f"#/flows/any/samples/{(await _kept(daemon, json.dumps(value).encode())).id}")
            await expect(console.get("region", "The event")).to_contain_text(shown)
            await _is_whole(console)
        # All of them stand in the list, too.
        await console.go("#/flows/any")
        await expect(console.get("list", "Sampled records").get_by_role("listitem").first).to_be_visible()
        await _is_whole(console)


async def test_bytes_that_are_no_text_are_dumped(open_console: OpenConsole, tmp_path: Path) -> None:
    rules = RULES.replace("rules:", "otherwise: {undecodable: archive}\nrules:")
    async with daemon_of(project(tmp_path, any=rules)) as daemon:
        console = await _record(open_console, daemon, b"\xff\xfe<b>\x00\x1b[2J")
        await expect(console.get("region", "The payload")).to_contain_text("ff fe 3c 62 3e 00 1b 5b 32 4a")
        await _is_whole(console)


async def test_a_long_payload_is_shown_from_its_beginning_and_whole_on_demand(
    open_console: OpenConsole, tmp_path: Path
) -> None:
    async with daemon_of(project(tmp_path, any=RULES)) as daemon:
        console = await _record(open_console, daemon, {"a": "<b>" * 20_000, "z": "the end"})
        came = console.get("region", "What came")
        assert len(await came.inner_text()) < 5_000
        await came.get_by_role("button", name="Show all").click()
        lines = came.get_by_role("list", name="The event")
        await lines.focus()
        await console.page.keyboard.press("End")
        await expect(lines).to_contain_text('"z": "the end"')
        assert await lines.get_by_role("listitem").count() < 60
        await _is_whole(console)


async def test_what_a_sink_says_and_names_of_rules_are_text(open_console: OpenConsole, tmp_path: Path) -> None:
    def away() -> None:
        raise NotConnected(MARKUP + "‮")

    memory.sink("archive").on_open = away
    rules = RULES.replace("name: all", f"name: '{MARKUP.replace(chr(39), chr(39) * 2)}'")
    async with daemon_of(project(tmp_path, any=rules)) as daemon:
        console = await open_console(daemon, "#/?at=sink/archive")
        await console.sees("<img src=x")
        await _is_whole(console)
        await console.go("#/flows/any")
        await expect(console.get("region", "Rules")).to_contain_text("<script>document.title")
        await _is_whole(console)


ARABIC = """\
flow: تحويل الطلبات
from: [web, app]
rules:
  - name: قاعدة
    to: [{sink: مخزن, set: {event.total: "${event['قيمة']}"}}, {sink: مخزن البيانات الكبير جدا جدا جدا}]
"""
LONG = "مخزن البيانات الكبير جدا جدا جدا"
OWN_WAY = """names => {
    const walk = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
    const wrong = [];
    for (let node; (node = walk.nextNode());) {
        const text = node.nodeValue;
        if (!names.some(name => text.includes(name)) || !node.parentElement.checkVisibility()) continue;
        const style = getComputedStyle(node.parentElement);
        const isText = node.parentElement.closest("code, .code, option");
        if (!isText && (style.unicodeBidi !== "isolate" || !names.includes(text))) wrong.push(text);
        if (!isText && style.direction !== "rtl") wrong.push(`${style.direction}: ${text}`);
    }
    return wrong;
}"""
"""What of these names stands in one text with others, or does not read from the right."""


async def test_names_that_read_from_the_right_turn_nothing_around_them(
    open_console: OpenConsole, tmp_path: Path
) -> None:
    path = project(tmp_path, any=ARABIC)
    more = f"  {LONG}: {{type: memory, channel: more}}\nflows"
    path.write_text(path.read_text().replace("archive:", "مخزن:").replace("flows", more))
    names = ["تحويل الطلبات", "قاعدة", "مخزن", LONG]
    async with daemon_of(path) as daemon:
        kept = await _kept(daemon, json.dumps({"قيمة": "ألف", "ب": 1}).encode(), names[0])
        console = await open_console(daemon, "#/")
        flow = quote(names[0])
        for address, seen in (
            ("#/", LONG), (f"#/?at=flow/{flow}", "Where it delivers"), (f"#/flows/{flow}", "Sampled records"),
            (f"#/flows/{flow}?rule={quote(names[1])}", "Matched"), (f"#/flows/{flow}/samples/{kept.id}", "What left"),
        ):  # fmt: skip
            await console.go(address)
            await console.sees(seen)
            assert await console.page.evaluate(OWN_WAY, names) == [], address
        # A key and its value stand in the order in which they are written.
        spans = console.get("region", "The event").locator(".json-key, .json-string")
        assert [await span.evaluate("span => getComputedStyle(span).unicodeBidi") for span in await spans.all()] == [
            "isolate"
        ] * 3
        await console.look(Look("light", 1280))
        await console.go("#/")
        name = console.page.locator(".node-name .outside", has_text=LONG)
        # What does not fit is cut at the end of the name: the left.
        assert await name.evaluate(
            "name => [name.scrollWidth > name.clientWidth, getComputedStyle(name).textOverflow]"
        ) == [True, "ellipsis"]


async def test_the_page_may_run_nothing_but_itself(open_console: OpenConsole, tmp_path: Path) -> None:
    """Even what would become markup by a mistake of ours is stopped by the policy of the page."""
    async with daemon_of(project(tmp_path, any=RULES)) as daemon:
        console = await open_console(daemon)
        tried = "() => { try { document.body.innerHTML = '<b>'; return 'done' } catch (error) { return error.name } }"
        # In the page's own world, not the driver's.
        assert await console.page.evaluate(tried) == "TypeError"
        response = await console.page.request.get(console.url)
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        console.complaints.clear()  # the browser tells what it stopped
