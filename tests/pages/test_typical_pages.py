"""Every page of the typical scene, and every error's, in both themes and at all widths.

In continuous integration axe looks at a desk in both themes and at a phone; `--whole` asks for all of it.
"""

import pytest

from tests.e2e.test_browser import chromium, needs_assets, pytestmark
from tests.pages.addresses import NO_PAGES, PAGES, ROUTES, Page
from tests.pages.conftest import Contexts, Scenes
from tests.pages.order import LOOKS, SAMPLE, wrong_with

__all__ = ["chromium", "pytestmark"]  # the fixtures, and what they need


@needs_assets
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_it_is_in_order(page: Page, scenes: Scenes, contexts: Contexts, pytestconfig: pytest.Config) -> None:
    looks = LOOKS if pytestconfig.getoption("--whole") else SAMPLE
    assert wrong_with("typical", page, looks, scenes, contexts) == {}


def test_what_is_no_page_is_a_route() -> None:
    assert set(NO_PAGES) <= set(ROUTES)


def test_the_scene_has_every_page(scenes: Scenes) -> None:
    ids = scenes("typical").ids
    assert [page.name for page in PAGES if not page.is_in(ids)] == []
