"""Inviting, joining and leaving in real browsers, by keyboard; an API token that works; themes and widths."""

import re
from collections.abc import Iterator
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.stack import Stack
from tests.e2e.test_browser import chromium, page, pytestmark, signed_in

__all__ = ["chromium", "page", "pytestmark", "signed_in"]  # the fixtures, and what they need

PASSWORD = "a long enough passphrase"


@pytest.fixture
def stranger(chromium: Browser) -> Iterator[Page]:
    """Somebody else's browser."""
    context = chromium.new_context()
    yield context.new_page()
    context.close()


def test_somebody_is_invited_joins_and_is_removed_while_they_look(
    page: Page, stranger: Page, stack: Stack
) -> None:
    page.goto(f"{stack.url}/p/demo/members/")
    page.get_by_label("Who it is for").fill("Eve of sales")
    page.keyboard.press("Enter")
    link = page.locator("#link").inner_text()
    expect(page.get_by_role("table", name="Invitations")).to_contain_text("Eve of sales")
    page.goto(f"{stack.url}/p/demo/members/")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()

    stranger.goto(link)
    assert stranger.url == f"{stack.url}/invitation/"
    stranger.get_by_label("Name").fill("eve")
    stranger.get_by_label("Password").fill(PASSWORD)
    stranger.get_by_label("The same again").fill(PASSWORD)
    stranger.keyboard.press("Enter")

    stranger.wait_for_url(f"{stack.url}/?project=demo")
    expect(page.get_by_label("Role of eve")).to_have_value("member", timeout=15_000)
    stranger.goto(f"{stack.url}/p/demo/members/")
    expect(stranger.get_by_text("Live", exact=True)).to_be_visible()
    page.get_by_role("link", name="Remove… eve").press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Remove").press("Enter")

    expect(stranger.get_by_text("No access")).to_be_visible(timeout=15_000)
    assert stranger.reload().status == 404  # type: ignore[union-attr]
    stranger.goto(link)
    expect(stranger.get_by_role("alert")).to_contain_text("accepted already")


def test_a_token_is_made_and_its_key_works(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.url}/settings/tokens/")
    page.get_by_label("Name").fill("ci")
    page.keyboard.press("Enter")

    command = page.locator("#curl").inner_text()
    said = re.fullmatch(r'curl -H "Authorization: (Bearer av_\S+)" (\S+)', command)
    assert said
    with urlopen(Request(said[2], headers={"Authorization": said[1]})) as answer:
        assert b'"demo"' in answer.read()
