"""The log on a machine's page in a real browser: a burst of lines, its reader's place, and lines that are found."""

from collections.abc import Iterator

import psycopg
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.test_browser import chromium, pytestmark
from tests.pages.conftest import Contexts, Scenes
from tests.scenes.serving import Scene

__all__ = ["chromium", "pytestmark"]  # the fixtures, and what they need

BURST = 20_000
_PRINT = """
INSERT INTO machines_logline (machine_id, run, number, at, stream, text)
SELECT id, '00000000-0000-4000-8000-000000000007', %(first)s + n, now(), 'out', 'burst line ' || %(first)s + n
FROM machines_machine, generate_series(1, %(count)s) AS n WHERE number = %(machine)s
"""
RING = "document.body.dispatchEvent(new Event('log'))"  # as the socket does


@pytest.fixture
def scene(scenes: Scenes) -> Scene:
    return scenes("typical")


@pytest.fixture
def page(scene: Scene, contexts: Contexts) -> Iterator[Page]:
    """The page of a machine that has ended, whose log nobody else writes to."""
    page = contexts("typical", True).new_page()
    page.goto(f"{scene.url}/machines/{scene.ids['done']}/")
    page.wait_for_function("() => document.documentElement.dataset.live === 'live'")
    yield page
    page.close()


def printing(scene: Scene, first: int, count: int) -> None:
    with psycopg.connect(scene.stack.environment["DATABASE_URL"]) as connection:
        machine = int(scene.ids["done"][1:])
        connection.execute(_PRINT, {"first": first, "count": count, "machine": machine})


def test_a_read_that_failed_is_made_again(scene: Scene, page: Page) -> None:
    page.route("**/log.json*", lambda route: route.fulfill(status=503), times=1)
    printing(scene, 2 * BURST, 1)

    page.evaluate(RING)

    expect(page.locator("#log").get_by_text(f"burst line {2 * BURST + 1}", exact=True)).to_be_visible(
        timeout=15_000
    )


def test_a_burst_is_followed_and_its_beginning_fetched_again(scene: Scene, page: Page) -> None:
    printing(scene, 0, BURST)

    page.evaluate(RING)

    log = page.locator("#log")
    log.evaluate("log => log.scrollIntoView({ block: 'center' })")
    expect(log.get_by_text(f"burst line {BURST}", exact=True)).to_be_in_viewport(timeout=60_000)
    assert 4000 <= log.locator(".log-line").count() <= 5200
    before = log.locator(".log-line > span").first.text_content() or ""  # unseen, it has no inner text
    log.evaluate("log => { log.scrollTop = 0 }")
    expect(page.get_by_role("button", name="Follow")).to_be_visible()
    page.get_by_role("link", name="Load older").click()
    expect(log.locator(".log-line > span").first).not_to_have_text(before)
    expect(log.get_by_text(before, exact=True)).to_be_in_viewport()

    page.get_by_role("button", name="Follow").click()
    expect(log.get_by_text(f"burst line {BURST}", exact=True)).to_be_in_viewport()

    find = page.get_by_label("Find in the whole log")
    page.keyboard.press("/")
    expect(find).to_be_focused()
    page.keyboard.type("burst line 7")
    page.keyboard.press("Enter")
    expect(page.locator("#log-said")).to_contain_text("lines say “burst line 7”")
    expect(log.locator(".log-picked")).to_be_in_viewport()
    find.fill("burst line 12345")
    page.keyboard.press("Enter")
    expect(log.locator(".log-picked")).to_contain_text("burst line 12345")

    log.focus()
    page.keyboard.press("Shift+ArrowDown")
    expect(log.locator(".log-picked")).to_have_count(2)
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(log.locator(".log-picked")).to_have_count(2)
    expect(log.locator(".log-picked").first).to_contain_text("burst line 12345")
    expect(log.locator(".log-picked").first).to_be_in_viewport()
