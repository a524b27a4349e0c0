"""A screen on a wall, in a browser of its own: it takes turns, ages in plain sight, heals, and can be ended."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.stack import Stack
from tests.e2e.test_browser import chromium, needs_assets, page, pytestmark, signed_in, violations

__all__ = ["chromium", "page", "pytestmark", "signed_in"]  # the fixtures, and what they need

VIEWS = {"counts": 1, "map": 1, "events": 1, "burn": 2, "budgets": 2, "waiting": 2, "health": 2, "clock": 0}


@pytest.fixture
def address(page: Page, stack: Stack) -> str:
    """Of a new screen with two views."""
    page.goto(f"{stack.url}/settings/screens/")
    page.get_by_label("Name", exact=True).fill("Lobby")
    page.get_by_label("Every project").check()
    page.get_by_label("Seconds a view").fill("5")
    for block, number in VIEWS.items():
        page.locator(f"#screen-{block}").select_option(str(number))
    page.get_by_role("button", name="Make a wall screen").click()
    return page.locator("#address").inner_text()


@pytest.fixture
def wall(chromium: Browser) -> Iterator[Page]:
    """The browser on the wall, which nobody has signed in; its clock can be turned on."""
    context = chromium.new_context(viewport={"width": 1920, "height": 1080})
    opened = context.new_page()
    opened.clock.install()
    yield opened
    context.close()


def stop_at_the_beginning_of_a_turn(wall: Page) -> None:
    """From then on its clock moves as it is told only."""
    turn = wall.evaluate("Math.ceil(Date.now() / 5000)") + 1
    wall.clock.pause_at(turn * 5 + 1)


def test_it_takes_turns_ages_in_plain_sight_and_heals_by_itself(
    wall: Page, address: str, stack: Stack
) -> None:
    wall.goto(address)
    wall.evaluate("window.sameDocument = true")
    expect(wall.get_by_text(re.compile(r"^Data \d+ s old$"))).to_be_visible()

    stop_at_the_beginning_of_a_turn(wall)
    first, second = wall.get_by_role("heading", name="Machines"), wall.get_by_role("heading", name="Health")
    assert first.is_visible() != second.is_visible()
    before = first.is_visible()
    wall.clock.run_for(5000)
    assert first.is_visible() != before
    assert second.is_visible() == before
    wall.keyboard.press("Space")
    wall.clock.run_for(5000)
    assert second.is_visible() == before, "somebody holds it"
    wall.keyboard.press("Space")
    wall.clock.resume()

    stack.kill("web")
    wall.clock.run_for(45_000)
    expect(wall.get_by_text(re.compile(r"^Data from \d\d:\d\d$"))).to_be_visible()
    expect(wall.locator("html")).to_have_attribute("data-stale", "")
    expect(wall.get_by_role("heading", name="Lobby")).to_be_visible()

    stack.start("web")
    stack.await_pages()
    wall.clock.run_for(11_000)
    expect(wall.get_by_text(re.compile(r"^Data \d+ s old$"))).to_be_visible(timeout=15_000)
    expect(wall.locator("html")).not_to_have_attribute("data-stale", "")
    assert wall.evaluate("window.sameDocument"), "it healed without a reload"


def test_it_hears_of_what_happens_and_says_so_when_it_is_revoked(
    wall: Page, page: Page, address: str, stack: Stack
) -> None:
    with wall.expect_websocket() as opened:
        wall.goto(address)
    assert address.rstrip("/").rpartition("/")[2] not in opened.value.url
    opened.value.wait_for_event("framereceived")

    page.goto(f"{stack.url}/settings/screens/")
    page.get_by_role("link", name="Revoke… Lobby").last.click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke Lobby").click()
    expect(page.get_by_text("its address shows nothing any more")).to_be_visible()

    gone = wall.get_by_role("heading", name="This screen has nothing to show")
    expect(gone).to_be_visible(timeout=9000)  # sooner than it looks unasked
    assert wall.get_by_label("Password").count() == 0


def test_an_upgrade_reloads_it(wall: Page, address: str, stack: Stack) -> None:
    wall.goto(address)
    wall.evaluate(
        "window.sameDocument = true; document.querySelector('[data-wall]').dataset.version = 'older'"
    )

    wall.clock.run_for(11_000)

    expect(wall.locator("[data-wall]")).not_to_have_attribute("data-version", "older")
    assert not wall.evaluate("window.sameDocument")


@needs_assets
def test_it_fits_its_screen_and_is_readable_in_either_theme(wall: Page, address: str) -> None:
    wall.goto(address)
    for theme in ("dark", "light"):
        wall.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        assert violations(wall) == []
    for width, height in ((1920, 1080), (1280, 720)):
        wall.set_viewport_size({"width": width, "height": height})
        size = "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        assert wall.evaluate(size) == [width, height]
        for figure in wall.locator(".wall-count strong").all():
            assert figure.evaluate("one => parseFloat(getComputedStyle(one).fontSize)") >= 0.04 * width
    wall.set_viewport_size({"width": 360, "height": 740})
    assert wall.evaluate("document.documentElement.scrollWidth") <= 360
