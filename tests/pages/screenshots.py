"""Takes pictures of every page of a scene; `bin/screenshots` runs it. A table says what was taken."""

import argparse
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import Browser, sync_playwright

from tests.e2e.stack import ROOT
from tests.scenes.build import NAMES
from tests.scenes.serving import Scene, standing_alone

if TYPE_CHECKING:
    from tests.pages.addresses import Page

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
OUT = ROOT / "var" / "screenshots"
README = ("fleet", "machine")  # and where they go: docs/<name>.png
README_BYTES_MAX = 200_000


@dataclass(frozen=True)
class Shot:
    """How a page is looked at."""

    theme: str
    width: int
    height: int = 800

    @property
    def name(self) -> str:
        return f"{self.theme}-{self.width}"


SHOTS = (Shot("light", 1280), Shot("dark", 1280), Shot("light", 360))
WALL = (Shot("dark", 1920, 1080),)


def main() -> None:
    asked = _asked()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "autovibe.settings")
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
    for page in pages:
        if page.is_in(scene.ids):
            for shot in WALL if page.name.startswith("wall") else SHOTS:
                yield _take(browser, scene, page, shot, out / scene.name / f"{page.name}-{shot.name}.png")


def _readme(browser: Browser, scene: Scene, pages: list["Page"]) -> Iterator[Path]:
    for page in pages:
        path = _take(browser, scene, page, SHOTS[0], ROOT / "docs" / f"{page.name}.png", whole=False)
        size = path.stat().st_size
        if size > README_BYTES_MAX:
            raise SystemExit(f"{path} has {size:,} bytes; {README_BYTES_MAX:,} is the most.")
        yield path


def _take(
    browser: Browser, scene: Scene, page: "Page", shot: Shot, path: Path, *, whole: bool = True
) -> Path:
    """The whole page, or the first screen of it."""
    from tests.pages.browsing import context_of, visiting

    path.parent.mkdir(parents=True, exist_ok=True)
    context = context_of(browser, scene, signed_in=page.signed_in, color_scheme=shot.theme)
    with visiting(context, scene, page, shot.width, shot.height) as visit:
        visit.page.screenshot(path=path, full_page=whole)
    context.close()
    return path


def _report(taken: Iterator[Path]) -> None:
    for path in taken:
        print(f"{path.parent.name:>12}  {path.name:48}{path.stat().st_size / 1024:>8.0f} KiB", flush=True)


if __name__ == "__main__":
    main()
