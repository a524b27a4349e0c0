"""The charts of a machine in a real browser: where they stand, and how they go on."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Request, expect

from tests.e2e.stack import eventually
from tests.e2e.test_browser import chromium, pytestmark
from tests.pages.conftest import Contexts, Scenes
from tests.scenes.serving import Scene

__all__ = ["chromium", "pytestmark"]  # the fixtures, and what they need

NAMES = {"cpu", "memory", "disk", "network", "tokens"}
# What the hub does when it has looked at the cluster.
MEASURE = """
from datetime import timedelta
from django.utils import timezone
from guests.models import Usage
from guests.observe import Seen
from machines.limits import enforce
from machines.models import Machine
guest = Machine.objects.get(number={number}).guest_id
minute = timezone.now().replace(second=0, microsecond=0)
Usage.objects.update_or_create(guest_id=guest, at=minute, defaults={{"cpu_seconds": 60 * 1.87, "memory_bytes": 3e9}})
enforce.ring_for(Seen([], [guest]))
"""
FIT = """() => [...document.querySelectorAll(".plot")].every(figure => {
    const { left, right, width } = figure.getBoundingClientRect();
    const canvas = figure.querySelector("canvas")?.getBoundingClientRect();
    return canvas && canvas.left >= left && canvas.right <= right + 1 && canvas.width >= width - 2;
})"""


@pytest.fixture
def scene(scenes: Scenes) -> Scene:
    return scenes("typical")


@pytest.fixture
def asked() -> list[str]:
    """Where the page asked for figures."""
    return []


@pytest.fixture
def page(scene: Scene, contexts: Contexts, asked: list[str]) -> Iterator[Page]:
    """A machine at work, whose charts are drawn."""

    def note(request: Request) -> None:
        if "charts.json" in request.url:
            asked.append(request.url)

    page = contexts("typical", True).new_page()
    page.on("request", note)
    page.goto(f"{scene.url}/machines/{scene.ids['machine']}/")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    page.locator("#charts").scroll_into_view_if_needed()
    expect(page.locator("#charts canvas")).to_have_count(len(NAMES))
    yield page
    page.close()


def test_they_fill_their_place_at_every_width_and_in_both_themes(page: Page) -> None:
    for width in (1280, 360, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        eventually(lambda: page.evaluate(FIT), what=f"charts that fit at {width}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    page.emulate_media(color_scheme="dark")

    eventually(lambda: page.evaluate(FIT), what="charts that fit in the dark")
    expect(page.locator("#charts canvas")).to_have_count(len(NAMES))


def test_what_was_measured_comes_with_the_socket_and_nothing_is_asked_for(
    page: Page, scene: Scene, asked: list[str]
) -> None:
    before = len(asked)

    scene.stack.manage("shell", "-c", MEASURE.format(number=scene.ids["machine"][1:]))

    expect(page.locator("#plot-cpu [data-said]")).to_contain_text("last 1.87 cores")
    expect(page.locator("#plot-memory [data-said]")).to_contain_text("last 3.0 GB")
    assert len(asked) == before


def test_without_a_socket_they_are_asked_for_with_everything_else(page: Page, asked: list[str]) -> None:
    before = len(asked)

    with page.expect_response("**/charts.json"):
        page.evaluate("document.body.dispatchEvent(new Event('resync'))")  # as a page does that is not live

    assert len(asked) == before + 1
