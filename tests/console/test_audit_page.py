"""Audit and configuration: who did what, the newest first; what runs; the secrets never."""

from __future__ import annotations

from pathlib import Path

import pytest
from consoles import OpenConsole, project
from daemons import daemon_of
from playwright.async_api import expect

from rules.faults import Refused

SECRET = "open-sesame-42"


async def test_the_newest_entry_is_the_first_and_tells_all_on_a_click(
    open_console: OpenConsole, tmp_path: Path
) -> None:
    async with daemon_of(project(tmp_path)) as daemon:
        console = await open_console(daemon, "#/?at=source/web")
        await console.get("button", "Pause").click()
        await console.sees("web is paused")
        await console.go("#/history")
        entries = console.page.locator(".entries > li")
        await expect(entries).to_have_count(2)
        await expect(entries.first).to_contain_text("pause")
        await expect(entries.first).to_contain_text("http 127.0.0.1")
        await entries.first.locator("summary").click()
        await expect(entries.first.get_by_label("The detail")).to_contain_text('"source": "web"')
        await console.is_accessible()
        await console.get("button", "Starts and stops").click()
        await expect(entries).to_have_count(1)
        assert "of=life" in console.page.url


async def test_a_refused_reload_is_told_with_its_faults(open_console: OpenConsole, tmp_path: Path) -> None:
    async with daemon_of(project(tmp_path)) as daemon:
        console = await open_console(daemon, "#/configuration")
        await console.sees("The files were not reloaded since the start.")
        (tmp_path / "rules" / "shop.yaml").write_text("flow: shop\nfrom: [web]\nrules: [{name: all, to: nowhere}]\n")
        with pytest.raises(Refused):
            await daemon.reload("asked", "test")
        await console.sees("The last reload was refused")
        await console.sees("nowhere")
        await console.is_accessible()


async def test_the_files_are_shown_and_the_secrets_never(
    open_console: OpenConsole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOOR", SECRET)
    path = project(tmp_path, ', token: "${env:DOOR}"')
    async with daemon_of(path) as daemon:
        console = await open_console(daemon, "#/configuration")
        await console.get("textbox", "Token").fill(SECRET)
        await console.get("button", "Continue").click()
        await console.page.locator("summary", has_text="rules/shop.yaml").click()
        await expect(console.get("list", "rules/shop.yaml")).to_contain_text("heartbeats")
        await expect(console.get("list", "sluiceway.yaml")).to_contain_text('token: "${env:DOOR}"')
        assert SECRET not in await console.page.content()
        await console.is_accessible()
        await console.get("link", "Change and try").click()
        assert console.page.url.endswith("#/try/shop")
        await expect(console.page.locator(".cm-content")).to_contain_text("heartbeats")
        await console.sees("no faults")  # which is the last that the page asks for
        console.complaints.clear()  # the browser says that it was refused at first


async def test_a_reload_is_told_by_what_it_changed(open_console: OpenConsole, tmp_path: Path) -> None:
    path = project(tmp_path)
    async with daemon_of(path) as daemon:
        path.write_text(path.read_text() + "drain_timeout: 7s\n")
        await daemon.reload("asked", "test")
        console = await open_console(daemon, "#/history?of=changes")
        await expect(console.page.locator(".entries > li").first).to_contain_text("drain_timeout: asked")


async def test_what_was_applied_is_shown_as_a_difference_of_texts(open_console: OpenConsole, tmp_path: Path) -> None:
    async with daemon_of(project(tmp_path)) as daemon:
        console = await open_console(daemon, "#/history?of=changes")
        await console.sees("Nothing of this kind was done yet")
        files = await (await console.page.request.get(f"{console.url}/api/files")).json()
        rules = next(file for file in files["files"] if file["kind"] == "rules")
        text = rules["text"].replace("amount > 500", "amount > 700")
        given = {rules["path"]: {"text": text, "base_hash": rules["hash"]}}
        applied = await console.page.request.post(f"{console.url}/api/apply", data={"files": given})
        assert applied.ok, await applied.text()
        await console.page.locator("summary", has_text="applyshop.yaml").click()
        changed = console.page.get_by_label("What was changed in")
        await expect(changed).to_contain_text("-let: {big: event.amount > 500}")
        await expect(changed).to_contain_text("+let: {big: event.amount > 700}")
