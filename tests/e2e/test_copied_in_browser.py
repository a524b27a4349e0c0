"""“Copy as” in a real browser: the copied text follows the form, stays open, and can be read by everybody."""

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.stack import Stack
from tests.e2e.test_browser import chromium, needs_assets, page, pytestmark, signed_in, violations

__all__ = ["chromium", "page", "pytestmark", "signed_in"]  # the fixtures, and what they need


def test_it_follows_what_is_typed_and_stays_open(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.url}/machines/new/")
    page.get_by_text("Copy as command or curl").click()
    command = page.locator("#copy-spawn-command")
    expect(command).to_be_visible()

    page.get_by_label("Prompt", exact=True).fill("Mend the build")
    page.get_by_label("Limit for this machine").fill("2.50")

    expect(command).to_contain_text("'Mend the build' ")
    expect(command).to_contain_text("--money 2.50")
    expect(page.locator("#copy-spawn-curl")).to_contain_text('"limits": {"money": 2500000}')
    expect(command).to_be_visible()


@needs_assets
@pytest.mark.whole
def test_axe_finds_nothing_wrong_with_it(page: Page, stack: Stack) -> None:
    handle = stack.spawn("true", "shell")
    stack.await_state(handle, "terminated")
    page.emulate_media(color_scheme="dark")
    for path in (f"/machines/{handle}/", f"/checkpoints/{handle}.c1/", "/", "/machines/new/"):
        page.goto(stack.url + path)
        page.get_by_text("Copy as command or curl").click()
        assert violations(page) == [], path
