"""Every page, in both themes: accessible, quiet, no wider than its window, one socket, few requests, one headline.

In continuous integration each page takes its turn at one width; `--whole` asks for all widths, and all scenes.
"""

from collections.abc import Iterator

import pytest
from _pytest.mark.structures import ParameterSet

from tests.e2e.test_browser import chromium, needs_assets, pytestmark
from tests.pages.addresses import NO_PAGES, PAGES, ROUTES, Page
from tests.pages.browsing import visiting
from tests.pages.conftest import Contexts, Scenes

__all__ = ["chromium", "pytestmark"]  # the fixtures, and what they need

WIDTHS = (1280, 360, 1920, 768)
SCENES = ("typical", "empty", "trouble", "busy")
REQUESTS_MAX = (
    24  # the page, its styles, its scripts, and the fragments that it fetches again when it is live
)


def _cases() -> Iterator[ParameterSet]:
    for scene in SCENES:
        for at, page in enumerate(PAGES):
            for width in WIDTHS:
                yield pytest.param(
                    scene, page, width, id=f"{scene}-{page.name}-{width}", marks=_marks(scene, page, at, width)
                )  # fmt: skip


def _marks(scene: str, page: Page, at: int, width: int) -> tuple[pytest.MarkDecorator, ...]:
    """A sample: each page of the typical scene, and of the empty one what does not name a thing, at one width."""
    sampled = scene == "typical" or (scene == "empty" and page.signed_in and not page.needs - {"slug"})
    return () if sampled and width == WIDTHS[at % len(WIDTHS)] else (pytest.mark.whole,)


@needs_assets
@pytest.mark.parametrize(("scene", "page", "width"), _cases())
def test_it_is_in_order(scene: str, page: Page, width: int, scenes: Scenes, contexts: Contexts) -> None:
    served = scenes(scene)
    if not page.is_in(served.ids):
        pytest.skip(f"The scene has no {', '.join(sorted(page.needs - served.ids.keys()))}.")
    with visiting(contexts(scene, page.signed_in), served, page, width) as visit:
        assert visit.status == page.status, visit.page.locator("body").inner_text()[:500]
        for theme in ("light", "dark"):
            visit.page.emulate_media(color_scheme=theme)
            assert visit.violations() == [], theme
        assert [narrow for narrow in (width, 360) if visit.overflow(narrow) > 0] == []
        assert visit.page.locator("h1").count() == 1
        assert len(visit.sockets) <= 1
        assert len(visit.requests) <= REQUESTS_MAX, visit.requests
        assert not [
            url for url in visit.requests if url.endswith((".woff", ".woff2", ".ttf", ".png", ".jpg"))
        ]
        assert visit.refusals() == []
        assert visit.complaints == []


def test_what_is_no_page_is_a_route() -> None:
    assert set(NO_PAGES) <= set(ROUTES)


def test_the_typical_scene_has_every_page(scenes: Scenes) -> None:
    ids = scenes("typical").ids
    assert [page.name for page in PAGES if not page.is_in(ids)] == []
