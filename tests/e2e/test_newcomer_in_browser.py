"""A newcomer's whole path in a real browser with nothing but the keyboard; a silent server, a double click, Back."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, StorageState, expect

from tests.e2e.stack import PASSWORD, Stack
from tests.e2e.test_browser import (
    FOR_AN_AGENT_MS,
    PROMPT,
    chromium,
    handle_of,
    page,
    pytestmark,
    signed_in,
    state,
)

__all__ = ["chromium", "page", "pytestmark", "signed_in"]  # the fixtures, and what they need

SETTINGS = {"OFFLINE_MODEL_LATENCY_SECONDS": "4"}  # so that an agent can be spoken to while it works
TABS_MAX = 150
STALE_MS = 25_000
# A ring around what has the focus, whoever draws it.
_RING = """element => [element, element.parentElement, element.closest("label")].some(each => {
  const style = each && getComputedStyle(each);
  return style && (style.outlineStyle !== "none" || style.boxShadow !== "none");
})"""


class Keyboard:
    """Hands that have no mouse."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def reach(self, what: Locator) -> None:
        """Tab until it has the focus, and see that one can see it."""
        expect(what).to_be_visible(timeout=20_000)
        for _ in range(TABS_MAX):
            if what.evaluate("element => element === document.activeElement"):
                assert what.evaluate(_RING), f"{what} has the focus, and nobody sees it"
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{TABS_MAX} tabs do not lead to {what}.")

    def press(self, what: Locator, key: str = "Enter") -> None:
        self.reach(what)
        self.page.keyboard.press(key)

    def write(self, what: Locator, text: str) -> None:
        self.reach(what)
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.type(text)


@pytest.fixture
def newcomer(stack: Stack, chromium: Browser) -> Iterator[Page]:
    """A browser in which nobody has signed in."""
    context = chromium.new_context(base_url=stack.url, viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


@pytest.fixture
def cut_off(stack: Stack, chromium: Browser, signed_in: StorageState) -> Iterator[Page]:
    """Signed in, and free to complain of what it does not get."""
    context = chromium.new_context(base_url=stack.url, storage_state=signed_in)
    yield context.new_page()
    context.close()


class TestByKeyboard:
    def test_from_signing_in_to_the_end_of_a_branch(self, newcomer: Page) -> None:
        hands = Keyboard(newcomer)
        first = self.signs_in_and_spawns(hands)
        self.speaks_and_keeps(hands)
        expect(state(newcomer)).to_have_text("Terminated", timeout=FOR_AN_AGENT_MS)
        self.looks_back(hands, first)
        branch = self.branches(hands, first)
        self.compares(hands, first, branch)
        self.ends(hands, branch)

    def signs_in_and_spawns(self, hands: Keyboard) -> str:
        page = hands.page
        page.goto("/")
        hands.write(page.get_by_label("Name"), "admin")
        hands.write(page.get_by_label("Password"), PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Fleet")).to_be_visible()
        hands.press(page.get_by_role("region", name="First steps").get_by_role("link", name="Go on"))
        expect(page.get_by_role("heading", name="First steps")).to_be_visible()
        hands.press(page.get_by_role("link", name="Spawn one of your own"))
        hands.write(page.get_by_label("Prompt", exact=True), PROMPT)
        hands.press(page.get_by_role("button", name="Spawn the machine"))
        return handle_of(page)

    def speaks_and_keeps(self, hands: Keyboard) -> None:
        page = hands.page
        expect(state(page)).to_have_text("Running", timeout=FOR_AN_AGENT_MS)
        hands.write(page.get_by_label("Say something to its agent"), "Mind the negative numbers.")
        hands.press(page.get_by_role("button", name="Say it"))
        expect(page.get_by_text("Mind the negative numbers.").first).to_be_visible()
        hands.press(page.get_by_role("link", name=re.compile("^Checkpoint now")))
        hands.write(page.get_by_role("dialog").get_by_label("What for"), "Before lunch")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).not_to_be_visible()

    def looks_back(self, hands: Keyboard, first: str) -> None:
        page = hands.page
        hands.press(page.get_by_label("Show it as of"), "Home")
        expect(page.get_by_text("You are looking at")).to_contain_text(f"{first}.c1")
        page.keyboard.press("End")
        expect(page).to_have_url(re.compile(f"/machines/{first}/$"))

    def branches(self, hands: Keyboard, first: str) -> str:
        page = hands.page
        page.goto(f"/checkpoints/{first}.c2/")
        hands.press(page.get_by_role("link", name="Branch from here"))
        hands.write(page.get_by_label("Prompt", exact=True), "Count down instead, and test it.")
        hands.press(page.get_by_role("button", name=f"Branch from {first}.c2"))
        branch = handle_of(page)
        assert branch != first
        expect(state(page)).to_have_text("Terminated", timeout=FOR_AN_AGENT_MS)
        return branch

    def compares(self, hands: Keyboard, first: str, branch: str) -> None:
        page = hands.page
        page.goto(f"/checkpoints/{first}.c3/")
        hands.write(page.get_by_label("Compare with"), f"{branch}.c2")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(f"{first}.c3 and {branch}.c2")

    def ends(self, hands: Keyboard, branch: str) -> None:
        """Of another machine, for that one has done its work."""
        page = hands.page
        page.goto("/machines/new/?type=shell")
        hands.write(page.get_by_label("Prompt", exact=True), "sleep 600")
        self.choose_shell(hands)
        hands.press(page.get_by_role("button", name="Spawn the machine"))
        expect(state(page)).to_have_text("Running", timeout=FOR_AN_AGENT_MS)
        hands.press(page.get_by_role("link", name=re.compile("^Terminate")))
        dialog = page.get_by_role("dialog")
        hands.press(dialog.get_by_role("button", name=re.compile("^Terminate")))
        expect(state(page)).to_have_text("Terminated", timeout=FOR_AN_AGENT_MS)

    def choose_shell(self, hands: Keyboard) -> None:
        """Arrows move between the types."""
        hands.reach(hands.page.locator("input[name=type]:checked"))
        shell = hands.page.get_by_role("radio", name=re.compile("^Shell", re.IGNORECASE))
        for _ in range(10):
            if shell.is_checked():
                return
            hands.page.keyboard.press("ArrowDown")
        raise AssertionError("No arrow leads to the type shell.")


@contextmanager
def silent(stack: Stack) -> Iterator[None]:
    """The web process answers nothing, and closes nothing: as a cable that was pulled."""
    process = stack.processes["web"]
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def test_a_server_that_falls_silent_is_noticed_and_what_it_says_later_is_shown(
    cut_off: Page, stack: Stack
) -> None:
    handle = stack.spawn("sleep 900", "shell")
    stack.await_state(handle, "running")
    cut_off.clock.install()
    cut_off.goto(f"/machines/{handle}/")
    expect(cut_off.get_by_text("Live", exact=True)).to_be_visible()

    with silent(stack):
        cut_off.clock.fast_forward(STALE_MS)
        expect(cut_off.get_by_text("Not live")).to_be_visible()
    stack.post(f"machines/{handle}/pause/")

    expect(cut_off.get_by_text("Live", exact=True)).to_be_visible(timeout=30_000)
    expect(state(cut_off)).to_have_text("Paused", timeout=20_000)


def test_what_a_page_was_refused_once_it_asks_for_again(cut_off: Page, stack: Stack) -> None:
    handle = stack.spawn("sleep 900", "shell")
    stack.await_state(handle, "running")
    cut_off.goto(f"/machines/{handle}/")
    expect(cut_off.get_by_text("Live", exact=True)).to_be_visible()
    refused = []

    def refuse(route: Route) -> None:
        refused.append(route.request.headers.get("priority"))
        route.fulfill(status=503, body="Busy.", content_type="text/plain")

    cut_off.route(f"**/machines/{handle}/", refuse, times=1)
    stack.post(f"machines/{handle}/pause/")

    expect(state(cut_off)).to_have_text("Paused", timeout=20_000)
    assert refused == ["u=6"], "nobody waits for it"


def test_a_double_click_makes_one_machine(page: Page, stack: Stack) -> None:
    before = stack.get("machines/counts/")["total"]
    page.goto(f"{stack.url}/machines/new/")
    page.get_by_label("Prompt", exact=True).fill("echo once")
    page.get_by_role("radio", name=re.compile("^Shell", re.IGNORECASE)).check()
    page.get_by_role("button", name="Spawn the machine").dblclick()
    handle_of(page)

    assert stack.get("machines/counts/")["total"] == before + 1


def test_back_restores_the_filter_and_the_place(page: Page, stack: Stack) -> None:
    page.set_viewport_size({"width": 1280, "height": 400})
    page.goto(f"{stack.url}/?state=ended")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    page.evaluate("scrollTo(0, 200)")
    place = page.evaluate("scrollY")
    assert place > 100
    page.locator("#machines tbody a").first.click()
    handle_of(page)

    page.go_back()

    expect(page).to_have_url(f"{stack.url}/?state=ended")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    page.wait_for_function("place => Math.abs(scrollY - place) < 60", arg=place)
