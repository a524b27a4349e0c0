"""The budget pages in a real browser: by keyboard, live, in both themes, narrow and wide."""

import re

from playwright.sync_api import Page, expect

from tests.e2e.stack import Stack
from tests.e2e.test_browser import chromium, page, pytestmark, signed_in

__all__ = ["chromium", "page", "pytestmark", "signed_in"]  # the fixtures, and what they need


def limit_of(page: Page, what: str) -> str:
    return page.locator("tr", has_text=what).first.locator("td[data-before=Limit]").inner_text()


class TestALimit:
    def test_it_is_set_raised_and_seen_in_another_window(self, page: Page, stack: Stack) -> None:
        page.goto(f"{stack.url}/p/demo/budget/")
        page.get_by_role("link", name="Set a limit").press("Enter")
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("What", exact=True).select_option("calls")
        dialog.get_by_label("Period").select_option("week")
        dialog.get_by_label("Limit", exact=True).fill("4000")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status").filter(has_text="is 4,000 calls now")).to_be_visible()
        expect(page.get_by_text("Live", exact=True)).to_be_visible()

        other = page.context.new_page()
        other.goto(f"{stack.url}/p/demo/budget/")
        other.get_by_role("button", name=re.compile("more model calls a week")).press("Enter")

        expect(other.get_by_role("status").filter(has_text="is 6,000 calls now")).to_be_visible()
        row = page.locator("tr", has_text="Model calls a week")
        expect(row.locator("td[data-before=Limit]")).to_have_text("6,000", timeout=15_000)

    def test_what_another_amount_would_mean_is_said_before_it_is_set(self, page: Page, stack: Stack) -> None:
        page.goto(f"{stack.url}/p/demo/budget/")
        before = limit_of(page, "Money for good")
        change = page.get_by_role("link", name="Change… money for good of Project demo")
        change.press("Enter")
        amount = page.get_by_role("dialog").get_by_label(re.compile("^Limit"))
        expect(amount).to_be_focused()

        amount.fill("77")
        expect(page.locator("#preview")).to_contain_text("Left:")
        amount.fill("0")
        page.keyboard.press("Escape")

        expect(change).to_be_focused()
        assert limit_of(page, "Money for good") == before
