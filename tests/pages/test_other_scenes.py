"""Every page where there is nothing, where much goes wrong, and where there are 500 machines.

In continuous integration each is seen on a phone by day and on a desk by night, and only where a scene can make a
difference; `--whole` asks for all of it.
"""

from collections.abc import Iterator

import pytest
from _pytest.mark.structures import ParameterSet

from tests.e2e.test_browser import chromium, needs_assets, pytestmark
from tests.pages.addresses import ALIKE, PAGES, Page
from tests.pages.conftest import Contexts, Scenes
from tests.pages.order import LOOKS, SMALL_SAMPLE, wrong_with

__all__ = ["chromium", "pytestmark"]  # the fixtures, and what they need

SCENES = ("empty", "trouble", "busy")


def _cases() -> Iterator[ParameterSet]:
    for scene in SCENES:
        for page in PAGES:
            if not page.template:
                marks = pytest.mark.whole if page.name in ALIKE else ()
                yield pytest.param(scene, page, id=f"{scene}-{page.name}", marks=marks)


@needs_assets
@pytest.mark.parametrize(("scene", "page"), _cases())
def test_it_is_in_order(
    scene: str, page: Page, scenes: Scenes, contexts: Contexts, pytestconfig: pytest.Config
) -> None:
    looks = LOOKS if pytestconfig.getoption("--whole") else SMALL_SAMPLE
    assert wrong_with(scene, page, looks, scenes, contexts) == {}
