"""Takes pictures of every page of a scene; `bin/screenshots` runs it. A table says what was taken."""

import argparse
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.e2e.stack import ROOT
from tests.scenes.build import NAMES
from tests.scenes.serving import Scene, standing_alone

if TYPE_CHECKING:
    from tests.pages.addresses import Page
    from tests.pages.browsing import Look

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
OUT = ROOT / "var" / "screenshots"
README = ("fleet", "machine")  # and where they go: docs/<name>.png
README_BYTES_MAX = 200_000


def main() -> None:
    asked = _asked()
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "autovibe.settings",
        "DEBUG": "1",
    }  # no static files are collected
    import django

    django.setup()  # addresses are those of the permission tests, which know models
    from tests.pages.addresses import PAGES

    only = README if asked.readme else tuple(filter(None, asked.only.split(",")))
    pages = [page for page in PAGES if not only or page.name in only]
    with sync_playwright() as playwright, standing_alone(asked.scene) as scene:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        taken = _readme(browser, scene, pages) if asked.readme else _all(browser, scene, pages, asked.out)
        _report(taken)
        browser.close()


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/screenshots", description=__doc__)
    parser.add_argument("--scene", choices=NAMES, default="typical")
    parser.add_argument("--out", type=Path, default=OUT, help="a folder; one folder for each scene in it")
    parser.add_argument("--only", default="", help="names of pages, separated by commas")
    parser.add_argument("--readme", action="store_true", help="the pictures of the README, into docs/")
    return parser.parse_args()


def _all(browser: Browser, scene: Scene, pages: list["Page"], out: Path) -> Iterator[Path]:
    from tests.pages.browsing import Look, context_of

    shots = (Look("light", 1280, 800), Look("dark", 1280, 800), Look("light", 360, 800))
    contexts = {signed_in: context_of(browser, scene, signed_in=signed_in) for signed_in in (True, False)}
    for page in pages:
        if page.is_in(scene.ids):
            looks = (Look("dark", 1920, 1080),) if page.name.startswith("wall") else shots
            taken = {look: out / scene.name / f"{page.name}-{look}.png" for look in looks}
            yield from _take(contexts[page.signed_in], scene, page, taken)


def _readme(browser: Browser, scene: Scene, pages: list["Page"]) -> Iterator[Path]:
    from tests.pages.browsing import Look, context_of

    context = context_of(browser, scene)
    for page in pages:
        path = ROOT / "docs" / f"{page.name}.png"
        yield from _take(context, scene, page, {Look("light", 1280, 800): path}, whole=False)
        size = path.stat().st_size
        if size > README_BYTES_MAX:
            raise SystemExit(f"{path} has {size:,} bytes; {README_BYTES_MAX:,} is the most.")


def _take(
    context: BrowserContext, scene: Scene, page: "Page", taken: dict["Look", Path], *, whole: bool = True
) -> Iterator[Path]:
    """In each of the looks, the whole page or the first screen of it."""
    from tests.pages.browsing import visiting

    with visiting(context, scene, page, next(iter(taken))) as visit:
        for look, path in taken.items():
            visit.look(look)
            path.parent.mkdir(parents=True, exist_ok=True)
            visit.page.screenshot(path=path, full_page=whole)
            yield path


def _report(taken: Iterator[Path]) -> None:
    for path in taken:
        print(f"{path.parent.name:>12}  {path.name:48}{path.stat().st_size / 1024:>8.0f} KiB", flush=True)


if __name__ == "__main__":
    main()
