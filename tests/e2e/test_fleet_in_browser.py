"""The fleet in real browsers: many machines at once by mouse and keyboard, filters, and two people looking at it."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from tests.e2e.stack import Stack
from tests.e2e.test_browser import FOR_AN_AGENT_MS, chromium, page, pytestmark, signed_in

__all__ = ["chromium", "page", "pytestmark", "signed_in"]  # the fixtures, and what they need


@pytest.fixture(scope="module")
def pair(stack: Stack) -> list[str]:
    """Two machines that run until they are ended."""
    made = [stack.spawn("sleep 900", kind="shell") for _ in range(2)]
    for handle in made:
        stack.await_state(handle, "running")
    return made


@pytest.fixture
def other(stack: Stack, chromium: Browser, signed_in: StorageState) -> Iterator[Page]:
    """Somebody else's screen."""
    context = chromium.new_context(storage_state=signed_in)
    opened = context.new_page()
    opened.goto(stack.url)
    yield opened
    context.close()


def live(page: Page) -> None:
    expect(page.get_by_text("Live", exact=True)).to_be_visible()


def test_what_is_chosen_by_keyboard_is_paused_and_others_see_it(
    page: Page, other: Page, stack: Stack, pair: list[str]
) -> None:
    page.goto(stack.url)
    live(page)
    live(other)
    for handle in pair:
        page.get_by_label(f"Choose {handle}").focus()
        page.keyboard.press("Space")
    expect(page.get_by_text("2 chosen")).to_be_visible()

    page.get_by_role("button", name="Pause…").press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("Pause 2 machines?")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="Pause: asked of 2 of 2 machines")).to_be_visible()
    for handle in pair:
        expect(other.locator(f"tr#{handle}")).to_contain_text("Paused", timeout=FOR_AN_AGENT_MS)


def test_what_is_chosen_stays_so_while_the_fleet_moves_and_is_terminated(
    page: Page, stack: Stack, pair: list[str]
) -> None:
    page.goto(stack.url)
    live(page)
    for handle in pair:
        page.get_by_label(f"Choose {handle}").check()

    newer = stack.spawn("exit 3", kind="shell")

    expect(page.locator("#fresh")).to_contain_text("1 new machine in this list", timeout=15_000)
    expect(page.locator(f"tr#{newer}")).to_have_count(0)
    expect(page.locator("#bulk [name=machine]:checked")).to_have_count(2)
    page.get_by_role("button", name="Terminate…").click()
    dialog = page.get_by_role("dialog")
    for handle in pair:
        expect(dialog.get_by_text(handle, exact=True)).to_be_visible()
    dialog.get_by_label("Type 2 to terminate them").fill("3")
    dialog.get_by_role("button", name="Terminate 2 machines").click()
    expect(dialog.locator("#count:invalid")).to_be_visible()
    dialog.get_by_label("Type 2 to terminate them").fill("2")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="Terminate: asked of 2 of 2 machines")).to_be_visible()
    page.get_by_role("link", name="Back to the fleet").click()
    for handle in pair:
        expect(page.locator(f"tr#{handle}")).to_contain_text("Terminated", timeout=FOR_AN_AGENT_MS)


def test_a_filter_is_in_the_address_and_back_brings_it_back(
    page: Page, stack: Stack, pair: list[str]
) -> None:
    page.goto(stack.url)
    page.get_by_label("Filter the machines").fill("-state:failed sleep")
    page.keyboard.press("Enter")
    expect(page.locator("#machines tbody tr")).to_have_count(2)
    page.get_by_role("link", name="Spent", exact=True).click()
    expect(page).to_have_url(re.compile(r"q=-state%3Afailed\+sleep&sort=-spent"))

    page.locator(f"tr#{pair[0]}").get_by_role("link", name=pair[0]).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(pair[0])
    page.go_back()

    expect(page.get_by_label("Filter the machines")).to_have_value("-state:failed sleep")
    expect(page.get_by_role("columnheader", name="Spent")).to_have_attribute("aria-sort", "descending")
    expect(page.locator("#machines tbody tr")).to_have_count(2)


def test_a_failure_that_one_has_seen_leaves_everybodys_list(page: Page, other: Page, stack: Stack) -> None:
    failed = stack.spawn("exit 3", kind="shell")
    stack.await_state(failed, "failed")
    other.goto(f"{stack.url}/needs-you/")
    page.goto(f"{stack.url}/needs-you/")
    live(other)
    expect(other.locator(f"#needs-{failed}")).to_be_visible()

    page.get_by_role("button", name=f"Seen {failed}").press("Enter")

    expect(page.get_by_role("status").filter(has_text=f"{failed} needs nobody any more")).to_be_visible()
    expect(other.locator(f"#needs-{failed}")).to_have_count(0, timeout=15_000)
