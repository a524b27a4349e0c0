"""The side of `benchmarks.pages` that is a browser: what a page weighs on a slow phone, and how live pages keep up."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page

from tests.e2e.stack import ROOT
from tests.scenes.serving import Scene

PHONE = {"width": 360, "height": 740}
SLOW = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 750e3 / 8}
CPU_SLOWER = 4
DESK = {"width": 1280, "height": 800}
_WATCH = """
window.seen = { lcp: 0, cls: 0, tasks: [] };
const watch = (type, each) =>
  new PerformanceObserver(list => list.getEntries().forEach(each)).observe({ type, buffered: true });
watch("largest-contentful-paint", entry => { seen.lcp = entry.startTime; });
watch("layout-shift", entry => { if (!entry.hadRecentInput) seen.cls += entry.value; });
watch("longtask", entry => seen.tasks.push(entry.duration));
"""
_SHOWN = "text => document.querySelector('main').textContent.includes(text) && Date.now()"


@dataclass
class Writer:
    """Commits changes to the scene, and knows when."""

    process: subprocess.Popen[str]

    def do(self, verb: str, **told: Any) -> float:
        """Milliseconds since the epoch, just after the commit."""
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps({"do": verb, **told}), file=self.process.stdin, flush=True)
        return float(json.loads(self.process.stdout.readline()))


@contextmanager
def child(scene: Scene, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A program of ours on the scene's database."""
    argv = [sys.executable, "-m", *arguments]
    process = subprocess.Popen(
        argv, cwd=ROOT, env=scene.stack.environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def opened(
    browser: Browser, scene: Scene, viewport: dict[str, int], *, signed_in: bool = True
) -> Iterator[Page]:
    """An empty page of a browser that has seen nothing yet."""
    context: BrowserContext = browser.new_context(viewport=viewport)  # type: ignore[arg-type]
    if signed_in:
        context.add_cookies(scene.signed_in)  # type: ignore[arg-type]
    context.add_init_script(_WATCH)
    try:
        yield context.new_page()
    finally:
        context.close()


def first_load(browser: Browser, scene: Scene, address: str, *, signed_in: bool = True) -> dict[str, float]:
    """On a phone that is slow, over a line that is slower, with nothing in the cache."""
    with opened(browser, scene, PHONE, signed_in=signed_in) as page:
        page.request.get(address)  # the server has made the page before; the browser keeps nothing of this
        wire = page.context.new_cdp_session(page)
        sizes: list[float] = []
        wire.on("Network.loadingFinished", lambda told: sizes.append(told["encodedDataLength"]))
        wire.send("Network.enable")
        wire.send("Network.emulateNetworkConditions", SLOW)
        wire.send("Emulation.setCPUThrottlingRate", {"rate": CPU_SLOWER})
        page.goto(address, wait_until="load", timeout=120_000)
        loaded, requests = sum(sizes), len(sizes)
        page.wait_for_timeout(2500)  # what comes late shifts, too
        seen = page.evaluate("seen")
        return {
            "transfer_kib": loaded / 1024,
            "requests": requests,
            "lcp_ms": seen["lcp"],
            "cls": seen["cls"],
            "blocking_ms": sum(max(task - 50, 0) for task in seen["tasks"]),
            "nodes": page.evaluate("document.querySelectorAll('*').length"),
        }


def latency(
    browser: Browser, scene: Scene, writer: Writer, handle: str, *, changes: int, viewers: int
) -> dict[str, float]:
    """From the commit of a change until the fleet shows it, in one browser among `viewers`."""
    with opened(browser, scene, DESK) as page, child(scene, "benchmarks.pages_viewers", scene.url) as others:
        _let_look(others, _people(scene, viewers - 1))
        _open_live(page, f"{scene.url}/?project={scene.ids['slug']}")
        took = []
        for number in range(changes):
            text = f"Change {viewers}.{number} of the benchmark"
            committed = writer.do("tick", handle=handle, text=text)
            shown = page.wait_for_function(_SHOWN, arg=text, timeout=60_000)
            took.append(shown.json_value() - committed)
            time.sleep(1.0 if viewers == 1 else 3.0)
        return {
            "p50_ms": statistics.median(took),
            "p95_ms": statistics.quantiles(took, n=20, method="inclusive")[-1],
            "worst_ms": max(took),
        }


def _people(scene: Scene, count: int) -> str:
    """Their session keys, as JSON."""
    with child(scene, "benchmarks.pages_worker", "people", str(count)) as worker:
        assert worker.stdout
        return worker.stdout.readline()


def _let_look(others: subprocess.Popen[str], people: str) -> None:
    assert others.stdin
    assert others.stdout
    print(people, file=others.stdin, flush=True)
    assert others.stdout.readline() == "ready\n"


def live_for(browser: Browser, scene: Scene, writer: Writer, handle: str, seconds: float) -> dict[str, float]:
    """The longest task while the fleet changes every second."""
    with opened(browser, scene, DESK) as page:
        _open_live(page, scene.url)
        page.evaluate("seen.tasks = []")
        until, count = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            writer.do("tick", handle=handle, text=f"Live change {count}")
            count += 1
            page.wait_for_timeout(1000)
        tasks = page.evaluate("seen.tasks")
        return {
            "seconds": seconds,
            "changes": count,
            "long_tasks": len(tasks),
            "longest_ms": max(tasks, default=0),
        }


def burst(browser: Browser, scene: Scene, writer: Writer, handle: str, lines: int) -> dict[str, float]:
    """Until the last of many lines is shown, and the longest task meanwhile."""
    with opened(browser, scene, DESK) as page:
        _open_live(page, f"{scene.url}/machines/{handle}/")
        page.evaluate("seen.tasks = []")
        committed = writer.do("burst", handle=handle, lines=lines)
        shown = page.wait_for_function(_SHOWN, arg=f"line {lines - 1}", timeout=120_000)
        tasks = page.evaluate("seen.tasks")
        return {
            "lines": lines,
            "shown_after_ms": shown.json_value() - committed,
            "long_tasks": len(tasks),
            "longest_ms": max(tasks, default=0),
        }


def _open_live(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_function("() => document.documentElement.dataset.live === 'live'")
    page.wait_for_timeout(1500)
