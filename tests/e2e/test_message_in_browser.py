"""Saying something to an agent on its machine's page, in a real browser."""

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.stack import Stack, eventually
from tests.e2e.test_browser import (
    PROMPT,
    chromium,
    needs_assets,
    page,
    pytestmark,
    signed_in,
    violations,
)

__all__ = ["chromium", "page", "pytestmark", "signed_in"]  # the fixtures, and what they need


@pytest.fixture(scope="module")
def paused(stack: Stack) -> str:
    """A machine that was paused while its agent worked."""
    handle = stack.spawn(PROMPT)
    eventually(lambda: stack.get(f"machines/{handle}/calls/")["results"], what="a model call")
    stack.post(f"machines/{handle}/pause/", {})
    stack.await_state(handle, "paused")
    return handle


def test_a_message_is_said_and_shown_and_what_is_typed_meanwhile_stays(
    page: Page, stack: Stack, paused: str
) -> None:
    page.goto(f"{stack.url}/machines/{paused}/")
    expect(page.get_by_text("When the machine is resumed, its agent is started again")).to_be_visible()
    page.get_by_label("Say something to its agent").fill("Now make it buzz at 7")
    page.get_by_role("button", name="Say it").press("Enter")
    expect(page.locator("#say-card .event")).to_contain_text("You said: Now make it buzz at 7")

    page.get_by_label("Say something to its agent").fill("And at")
    stack.post(f"machines/{paused}/message/", {"text": "Over REST"})
    expect(page.locator("#say-card .event")).to_have_count(2)
    expect(page.get_by_label("Say something to its agent")).to_have_value("And at")


def test_an_agent_without_a_conversation_is_not_offered_any(page: Page, stack: Stack) -> None:
    handle = stack.spawn("sleep 900", "shell")
    stack.await_state(handle, "running")
    page.goto(f"{stack.url}/machines/{handle}/")
    expect(page.get_by_label("Say something to its agent")).to_have_count(0)


@needs_assets
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 1280)])
def test_everybody_can_use_it(page: Page, stack: Stack, paused: str, theme: str, width: int) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{stack.url}/machines/{paused}/")
    expect(page.get_by_label("Say something to its agent")).to_be_visible()

    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
