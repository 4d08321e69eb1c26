"""What four open consoles cost the data path, and how they bear it: the daemon at 10,000 records a second, first alone,
then with four pages of the console open in a Chromium on the same machine.

The pages are told of all records that they can be: the streams, a flow with its samples, the dead letters, another
narrow page of streams. Of each its frames are counted, and the memory of its scripts after a collection of garbage.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright
from prometheus_client.parser import text_string_to_metric_families

from bench import measure
from bench.report import Promise, Table, judge
from tests.servers.ports import claim_port

SECONDS = 600.0
ALONE_SECONDS = 60.0
SETTLE_SECONDS = 10.0
WINDOW_SECONDS = 10.0
RATE = 10_000
SLOWER = 1.02
"""So many times the time between records is promised at most while consoles are open."""
FRAMES = 30.0
GROWTH = 1.1
"""What "flat" is: so many times the memory of the first minute at the end."""
PATIENCE = 30.0
MINUTE = 60.0

_DAEMON = """\
state_dir: ./state
http: {{listen: "127.0.0.1:{port}"}}
sources:
  shop:
    type: generate
    rate: {rate}/s
    seed: 7
    template:
      - weight: 900
        template: {{type: order, id: "o-{{sequence}}", amount: "{{float:1:900:2}}", plan: "{{choice:free|pro}}"}}
      - {{weight: 99, template: {{type: visit, user: "u-{{int:1:50}}", amount: 0}}}}
      - {{weight: 1, template: {{type: order, id: "o-{{sequence}}", amount: -1, plan: free}}}}
sinks:
  vip: {{type: file, path: out/vip.ndjson}}
  rest: {{type: file, path: out/rest.ndjson}}
dead_letters: {{retain: 10m}}
flows: [shop.yaml]
"""
_RULES = """\
from: [shop]
contract: {expect: {amount is not negative: event.amount >= 0}}
rules:
  - {name: vip, when: event.amount > 500 && event.plan == "pro", to: vip}
  - {name: visits, when: event.type == "visit", to: drop}
  - {name: rest, to: rest}
"""
_PAGES = (("#/", 1280), ("#/flows/shop", 1280), ("#/dead-letters", 1280), ("#/", 390))
_COUNT_FRAMES = """() => {
  window.frames_drawn = 0;
  const drawn = () => { window.frames_drawn += 1; requestAnimationFrame(drawn); };
  requestAnimationFrame(drawn);
}"""
_QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


@dataclass(frozen=True, slots=True)
class Pace:
    """The data path over some seconds: records a second, the share of a core that the daemon had, and microseconds that
    deciding about a record took."""

    records: float
    cpu: float
    route_us: float


@dataclass
class Watched:
    """A page that is open."""

    page: Page
    cdp: CDPSession
    rates: list[float] = field(default_factory=list)
    """Frames a second, of each window."""
    heaps: list[float] = field(default_factory=list)
    """MB of its scripts after a collection, once a minute."""

    @classmethod
    def open(cls, browser: Browser, url: str, width: int) -> Watched:
        """Open it in a window of its own."""
        context = browser.new_context(viewport={"width": width, "height": 860})
        page = context.new_page()
        page.goto(url)
        page.wait_for_load_state()
        page.evaluate(_COUNT_FRAMES)
        cdp = context.new_cdp_session(page)
        cdp.send("Performance.enable")
        return cls(page, cdp)

    def frames(self) -> int:
        """How many it has drawn."""
        return int(self.page.evaluate("() => window.frames_drawn"))

    def weigh(self) -> None:
        """Note its memory."""
        self.cdp.send("HeapProfiler.collectGarbage")
        metrics: list[dict[str, Any]] = self.cdp.send("Performance.getMetrics")["metrics"]
        self.heaps.append(next(m["value"] for m in metrics if m["name"] == "JSHeapUsedSize") / 1e6)


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured."""

    alone: Pace
    watched: Pace
    pages: list[Watched]


def work(port: int, seconds: float, alone_seconds: float) -> Callable[[int], Found]:
    """What measures a daemon, by its process id."""

    def measured(pid: int) -> Found:
        _wait_until_ready(port)
        time.sleep(SETTLE_SECONDS)
        alone = _over(pid, port, lambda: time.sleep(alone_seconds))
        with sync_playwright() as playwright:
            found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
            if found is None:
                raise measure.Failed("there is no Chromium on the PATH; on Debian: apt-get install chromium")
            browser = playwright.chromium.launch(executable_path=found, args=_QUIET)
            pages = [Watched.open(browser, f"http://127.0.0.1:{port}/{address}", width) for address, width in _PAGES]
            time.sleep(SETTLE_SECONDS)
            watched = _over(pid, port, lambda: _look(pages, seconds))
            browser.close()
        return Found(alone, watched, pages)

    return measured


def _look(pages: list[Watched], seconds: float) -> None:
    end, weighed = time.monotonic() + seconds, -MINUTE
    while time.monotonic() < end:
        began, before = time.monotonic(), [page.frames() for page in pages]
        time.sleep(WINDOW_SECONDS)
        for page, frames in zip(pages, before, strict=True):
            page.rates.append((page.frames() - frames) / (time.monotonic() - began))
        if time.monotonic() - weighed >= MINUTE:
            weighed = time.monotonic()
            for page in pages:
                page.weigh()


def _over(pid: int, port: int, wait: Callable[[], None]) -> Pace:
    before, at = _counted(port), measure.usage(pid)
    wait()
    after, then = _counted(port), measure.usage(pid)
    records = after["records"] - before["records"]
    seconds = then.seconds - at.seconds
    return Pace(
        records / seconds,
        (then.cpu - at.cpu) / seconds,
        (after["route"] - before["route"]) / max(1.0, records) * 1e6,
    )


def _counted(port: int) -> dict[str, float]:
    wanted = {"sluiceway_source_records_total": "records", "sluiceway_route_seconds_sum": "route"}
    families = text_string_to_metric_families(_get(port, "/metrics"))
    return {wanted[s.name]: s.value for family in families for s in family.samples if s.name in wanted}


def _wait_until_ready(port: int) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            _get(port, "/readyz")
            return
        except OSError:
            if time.monotonic() > end:
                raise TimeoutError from None
            time.sleep(0.1)


def _get(port: int, page: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=PATIENCE) as answer:
        text: str = answer.read().decode()
        return text


def main(arguments: list[str]) -> int:
    """Print two tables; exit status 1 when what is promised is not kept."""
    parser = argparse.ArgumentParser(prog="python -m bench console", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long the consoles are open")
    parser.add_argument("--alone", type=float, default=ALONE_SECONDS, help="how long the daemon is alone before")
    parser.add_argument("--rate", type=int, default=RATE, help="records a second")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sluiceway-console-") as made:
        folder, port = Path(made), claim_port()
        config = folder / "sluiceway.yaml"
        config.write_text(_DAEMON.format(port=port, rate=options.rate))
        (folder / "shop.yaml").write_text(_RULES)
        command = [measure.SLUICEWAY, "run", str(config)]
        found, _ = measure.run_beside(command, work(port, options.seconds, options.alone), log=folder / "log")
    return _tell(found)


def _tell(found: Found) -> int:
    paths = {"alone": found.alone, "four consoles": found.watched}
    rows = [[name, f"{p.records:,.0f}", f"{p.cpu:.1%}", f"{p.route_us:.2f}"] for name, p in paths.items()]
    print(Table(["", "records/s", "of a core", "us deciding"], rows).text())
    pages = [
        [
            f"{address} {width}",
            f"{statistics.median(page.rates):.0f}",
            f"{min(page.rates):.0f}",
            f"{page.heaps[0]:.1f}",
            f"{page.heaps[-1]:.1f}",
        ]
        for (address, width), page in zip(_PAGES, found.pages, strict=True)
    ]
    print(Table(["page", "frames/s", "fewest", "MB at first", "MB at last"], pages).text())
    slowest = min(min(page.rates) for page in found.pages)
    grown = max(page.heaps[-1] / page.heaps[min(1, len(page.heaps) - 1)] for page in found.pages)
    return judge(
        [
            Promise("times the seconds for a record", found.alone.records / found.watched.records, SLOWER),
            Promise("seconds between frames, at most of 10 s", 1 / max(slowest, 0.001), 1 / FRAMES),
            Promise("times the memory of a page after a minute", grown, GROWTH),
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
