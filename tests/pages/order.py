"""What is asked of every page: accessible, quiet, no wider than its window, one socket, one headline."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.pages.addresses import Page
from tests.pages.browsing import Look, visiting
from tests.pages.conftest import Contexts, Scenes

# A width's first look has every rule, the second one those of colours.
WIDTHS = (1280, 360, 1920, 768)
LOOKS = tuple(Look(theme, width) for width in WIDTHS for theme in ("light", "dark"))
# What continuous integration takes of them: of the typical scene, and of the others.
SAMPLE = (Look("light", 1280), Look("dark", 1280), Look("light", 360))
SMALL_SAMPLE = (Look("light", 360), Look("dark", 1280))
HEAVY = (".woff", ".woff2", ".ttf", ".png", ".jpg")


def wrong_with(
    scene: str, page: Page, looks: Sequence[Look], scenes: Scenes, contexts: Contexts
) -> dict[str, Any]:
    """Load it once, and look at it in all of these ways: what is wrong, by what was asked."""
    served = scenes(scene)
    if not page.is_in(served.ids):
        pytest.skip(f"The scene has no {', '.join(sorted(page.needs - served.ids.keys()))}.")
    with visiting(contexts(scene, page.signed_in), served, page, looks[0]) as visit:
        if visit.status != page.status:
            return {"status": visit.status, "text": visit.page.locator("body").inner_text()[:500]}
        asked = list(visit.requests)  # before it is looked at in other ways
        found = visit.findings(looks) | {
            "headlines": [] if (count := visit.page.locator("h1").count()) == 1 else count,
            "sockets": visit.sockets[1:],
            "heavy": [url for url in asked if url.endswith(HEAVY)],
            "wider than the window": visit.overflows(WIDTHS),
            "tabs out of sight": visit.hidden_tabs(360),
            "refused by the policy": visit.refusals(),
            "console": [said for said in visit.complaints if f"status of {page.status}" not in said],
        }
    return {name: wrong for name, wrong in found.items() if wrong}
