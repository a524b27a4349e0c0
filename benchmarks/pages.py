"""What the pages cost with 500 machines and a million log lines: the server, the line, the phone, and the wait.

    .venv/bin/python -m benchmarks.pages [--only server,first,latency,live,burst] [--minutes 1]

Server time is that of the whole request through every middleware, inside one process; its baseline is a page that
reads nothing, in the same run. First loads are on a phone with a CPU four times slower over 1.6 Mbit/s with 150 ms.
Latency is from the commit to the frame that shows it, alone and as one of 200 viewers of the fleet.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from benchmarks import pages_browser as browsing
from benchmarks.pages_worker import BASELINE
from tests.e2e.stack import ROOT
from tests.scenes.serving import Scene, standing_alone

PARTS = ("server", "first", "latency", "live", "burst")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
# What was aimed at.
QUERIES, SERVER_MS = 15, 200
TRANSFER_KIB, REQUESTS, NODES, CLS = 60, 8, 1500, 0.02
WITH_CHARTS_KIB = {"machine": 90}
# Names as in tests.pages.addresses, by path; more of the same weigh the same.
FIRST = {
    "fleet": "",
    "machine": "machines/{machine}/",
    "checkpoint": "checkpoints/{checkpoint}/",
    "tree": "p/{slug}/checkpoints/",
    "budget": "p/{slug}/budget/",
    "spawn": "machines/new/",
    "audit": "audit/",
    "sign-in": "sign-in/",
}
Figures = dict[str, dict[str, float]]


def main() -> None:
    options = _options()
    parts = options.only.split(",")
    found: dict[str, Figures] = {}
    _collect_static()
    with standing_alone("busy", fsync=True, DEBUG="0", LOG_LEVEL="ERROR", PGAPPNAME="autovibe web") as scene:
        if "server" in parts:
            found["server"] = _told("server", _server(scene, options.requests))
        with (
            sync_playwright() as playwright,
            browsing.child(scene, "benchmarks.pages_worker", "write") as writing,
        ):
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            writer = browsing.Writer(writing)
            for part in [part for part in MEASURED if part in parts]:
                found[part] = _told(part, MEASURED[part](browser, scene, writer, options))
            browser.close()
    print(json.dumps(found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--requests", type=int, default=20, help="of each page, for its server time")
    parser.add_argument("--changes", type=int, default=20, help="for the latency")
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=1, help="of live updates; the brief says 5")
    parser.add_argument("--lines", type=int, default=20_000, help="of the burst")
    return parser.parse_args()


def _collect_static() -> None:
    """As a deployment does: files are compressed, and named by what is in them."""
    argv = [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity", "0"]
    subprocess.run(argv, cwd=ROOT, check=True)


def _server(scene: Scene, requests: int) -> Figures:
    argv = [sys.executable, "-m", "benchmarks.pages_worker", "cost", str(requests)]
    told = subprocess.run(
        argv, cwd=ROOT, env=scene.stack.environment, input=json.dumps(scene.ids), stdout=subprocess.PIPE,
        text=True, check=True,
    )  # fmt: skip
    found: Figures = json.loads(told.stdout.splitlines()[-1])
    base = found[BASELINE]["p50_ms"]
    for figures in found.values():
        figures["ratio"] = figures["p50_ms"] / base
        figures["over"] = int(figures["queries"] > QUERIES or figures["p50_ms"] > SERVER_MS)
    return found


def _first_loads(browser: Browser, scene: Scene, writer: browsing.Writer, options: Any) -> Figures:
    return {name: _first(browser, scene, name) for name in FIRST}


def _latency(browser: Browser, scene: Scene, writer: browsing.Writer, options: Any) -> Figures:
    return {
        f"{viewers} viewer{'s' * (viewers > 1)}": browsing.latency(
            browser, scene, writer, scene.ids["machine"], changes=options.changes, viewers=viewers
        )
        for viewers in (1, options.viewers)
    }


def _live(browser: Browser, scene: Scene, writer: browsing.Writer, options: Any) -> Figures:
    seconds = options.minutes * 60
    return {"fleet": browsing.live_for(browser, scene, writer, scene.ids["machine"], seconds)}


def _burst(browser: Browser, scene: Scene, writer: browsing.Writer, options: Any) -> Figures:
    return {"log": browsing.burst(browser, scene, writer, scene.ids["machine"], options.lines)}


MEASURED = {"first": _first_loads, "latency": _latency, "live": _live, "burst": _burst}


def _first(browser: Browser, scene: Scene, name: str) -> dict[str, float]:
    address = f"{scene.url}/{FIRST[name].format_map(scene.ids)}"
    seen = browsing.first_load(browser, scene, address, signed_in=name != "sign-in")
    too_many = seen["requests"] > REQUESTS or seen["nodes"] > NODES
    too_heavy = seen["transfer_kib"] > WITH_CHARTS_KIB.get(name, TRANSFER_KIB)
    return seen | {"over": int(too_many or too_heavy or seen["cls"] > CLS)}


def _told(title: str, figures: Figures) -> Figures:
    """The same, once it was printed."""
    names = list(next(iter(figures.values())))
    print(f"\n{title:26}" + "".join(f"{name.replace('_', ' '):>16}" for name in names))
    for row, values in figures.items():
        print(f"{row:26}" + "".join(f"{_written(name, values[name]):>16}" for name in names))
    sys.stdout.flush()
    return figures


def _written(name: str, value: float) -> str:
    if name == "cls":
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


if __name__ == "__main__":
    main()
