"""The pages of checkpoints in a real browser: the tree by keys, the scrubber, marks, proofs, and both themes."""

import re

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, StorageState, expect

from tests.e2e.stack import Stack
from tests.e2e.test_browser import (
    FOR_AN_AGENT_MS,
    PROMPT,
    chromium,
    page,
    pytestmark,
    signed_in,
)

__all__ = ["chromium", "page", "pytestmark", "signed_in"]  # the fixtures, and what they need

TREE = "/p/demo/checkpoints/"


@pytest.fixture(scope="module")
def work(stack: Stack) -> str:
    """A machine that has done its job and left checkpoints."""
    handle = stack.spawn(PROMPT)
    stack.await_state(handle, "terminated", seconds=FOR_AN_AGENT_MS / 1000)
    return handle


@pytest.fixture(scope="module")
def branched(stack: Stack, work: str) -> str:
    """One that was branched off, and runs."""
    asked = {"type": "shell", "prompt": "echo branched; sleep 900"}
    handle: str = stack.post(f"checkpoints/{work}.c2/branch/", asked)["handle"]
    stack.await_state(handle, "running")
    return handle


def row(page: Page, handle: str) -> Locator:
    return page.locator(f'[id="row-{handle}"]')


def link(page: Page, handle: str) -> Locator:
    return row(page, handle).locator("a.tree-link")


class TestTheTree:
    def test_arrows_move_between_rows_and_along_a_lane(self, page: Page, stack: Stack, work: str) -> None:
        page.goto(stack.url + TREE)
        last = stack.checkpoints(work)[-1]["handle"]
        link(page, last).focus()

        page.keyboard.press("ArrowDown")
        expect(link(page, last)).not_to_be_focused()
        page.keyboard.press("ArrowUp")
        expect(link(page, last)).to_be_focused()
        page.keyboard.press("ArrowLeft")
        expect(page.locator(":focus")).to_have_attribute("href", re.compile(f"/{work}\\.c|open="))
        page.keyboard.press("ArrowRight")
        expect(link(page, last)).to_be_focused()

        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{stack.url}/checkpoints/{last}/")

    def test_b_branches_and_p_pins_and_focus_stays(self, page: Page, stack: Stack, work: str) -> None:
        page.goto(stack.url + TREE)
        first = f"{work}.c1"
        link(page, first).focus()

        page.keyboard.press("p")
        expect(row(page, first).get_by_text("pinned")).to_be_visible()
        expect(link(page, first)).to_be_focused()
        assert stack.get(f"checkpoints/{first}/")["pinned"]
        page.keyboard.press("p")
        expect(row(page, first).get_by_text("pinned")).to_have_count(0)

        page.keyboard.press("b")
        expect(page).to_have_url(f"{stack.url}/checkpoints/{first}/branch/")

    def test_a_new_checkpoint_appears_by_itself(self, page: Page, stack: Stack, branched: str) -> None:
        page.goto(stack.url + TREE)
        expect(page.get_by_text("Live", exact=True)).to_be_visible()
        link(page, "demo.c0").focus()

        stack.post(f"machines/{branched}/checkpoint/", {"why": "Seen from the tree"})

        expect(page.get_by_role("link", name="Seen from the tree")).to_be_visible(timeout=20_000)
        expect(link(page, "demo.c0")).to_be_focused()


class TestTheScrubber:
    def test_keys_lead_back_and_the_address_can_be_shared(self, page: Page, stack: Stack, work: str) -> None:
        page.goto(f"{stack.url}/machines/{work}/")
        slider = page.get_by_label("Show it as of")
        slider.focus()

        page.keyboard.press("Home")
        expect(page.get_by_text("You are looking at")).to_contain_text(f"{work}.c1")
        expect(page).to_have_url(f"{stack.url}/machines/{work}/?at=1")
        expect(slider).to_be_focused()
        expect(slider).to_have_attribute("aria-valuetext", re.compile(f"^{work}.c1, "))
        page.keyboard.press("ArrowRight")
        expect(page).to_have_url(f"{stack.url}/machines/{work}/?at=2")
        expect(slider).to_be_focused()

        page.reload()
        expect(page.get_by_text("You are looking at")).to_contain_text(f"{work}.c2")

        page.get_by_role("link", name="Back to now").click()
        expect(page).to_have_url(f"{stack.url}/machines/{work}/")
        expect(page.locator("#log")).to_be_visible()

    def test_it_is_dragged_through_many_points_and_ends_at_the_last(
        self, page: Page, stack: Stack, work: str
    ) -> None:
        page.goto(f"{stack.url}/machines/{work}/")
        slider = page.get_by_label("Show it as of")
        box = slider.bounding_box()
        assert box
        middle = box["y"] + box["height"] / 2

        page.mouse.move(box["x"] + box["width"] - 8, middle)
        page.mouse.down()
        for step in range(20, -1, -1):
            page.mouse.move(box["x"] + 2 + (box["width"] - 10) * step / 20, middle)
        page.mouse.up()

        expect(page.get_by_text("You are looking at")).to_contain_text(f"{work}.c1")
        expect(slider).to_have_value("1")
        expect(page).to_have_url(f"{stack.url}/machines/{work}/?at=1")

    def test_a_late_answer_does_not_push_it_back(self, page: Page, stack: Stack, work: str) -> None:
        page.goto(f"{stack.url}/machines/{work}/?at=1")
        held: list[Route] = []
        page.route("**/moment/?at=2", lambda route: held.append(route))
        slider = page.get_by_label("Show it as of")
        slider.focus()

        with page.expect_request("**/moment/?at=2"):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        held[0].continue_()

        expect(page.get_by_text("You are looking at")).to_contain_text(f"{work}.c3")
        expect(slider).to_have_value("3")

    def test_news_of_now_that_come_late_do_not_lead_back_to_now(
        self, page: Page, stack: Stack, branched: str
    ) -> None:
        stack.post(f"machines/{branched}/checkpoint/")
        page.goto(f"{stack.url}/machines/{branched}/")
        expect(page.get_by_text("Live", exact=True)).to_be_visible()
        slider = page.get_by_label("Show it as of")
        expect(slider).to_be_visible(timeout=20_000)
        slider.focus()
        held: list[Route] = []
        page.route(f"{stack.url}/machines/{branched}/", lambda route: held.append(route))
        with page.expect_request(f"{stack.url}/machines/{branched}/"):
            page.evaluate("document.body.dispatchEvent(new Event('doorbell'))")
        page.keyboard.press("Home")
        expect(page.get_by_text("You are looking at")).to_contain_text(f"{branched}.c1")

        with page.expect_response(f"{stack.url}/machines/{branched}/?at=1"):
            held[0].continue_()

        expect(page.get_by_text("You are looking at")).to_contain_text(f"{branched}.c1")
        expect(page).to_have_url(f"{stack.url}/machines/{branched}/?at=1")

    def test_a_point_that_cannot_be_shown_is_not_where_one_is(
        self, chromium: Browser, signed_in: StorageState, stack: Stack, work: str
    ) -> None:
        with chromium.new_context(storage_state=signed_in) as context:
            page = context.new_page()
            page.goto(f"{stack.url}/machines/{work}/?at=2")
            page.route("**/moment/?at=3", lambda route: route.abort())
            slider = page.get_by_label("Show it as of")
            slider.focus()

            with page.expect_event("requestfailed"):
                page.keyboard.press("ArrowRight")

            expect(slider).to_have_value("2")
            page.keyboard.press("ArrowLeft")
            expect(page.get_by_text("You are looking at")).to_contain_text(f"{work}.c1")

    def test_the_right_end_is_now_and_not_the_next_checkpoint(
        self, page: Page, stack: Stack, work: str
    ) -> None:
        page.goto(f"{stack.url}/machines/{work}/?at=1")
        page.get_by_label("Show it as of").focus()

        with page.expect_request("**/moment/?at=now"):
            page.keyboard.press("End")

        expect(page).to_have_url(f"{stack.url}/machines/{work}/")

    def test_the_right_end_is_live_again(self, page: Page, stack: Stack, work: str) -> None:
        page.goto(f"{stack.url}/machines/{work}/?at=1")
        page.get_by_label("Show it as of").focus()

        page.keyboard.press("End")

        expect(page).to_have_url(f"{stack.url}/machines/{work}/")
        expect(page.locator("#log")).to_be_visible()

    def test_what_happens_meanwhile_does_not_lead_back_to_now(
        self, page: Page, stack: Stack, branched: str
    ) -> None:
        stack.post(f"machines/{branched}/checkpoint/")
        page.goto(f"{stack.url}/machines/{branched}/")
        expect(page.get_by_text("Live", exact=True)).to_be_visible()
        slider = page.get_by_label("Show it as of")
        slider.focus()
        page.keyboard.press("Home")
        expect(page.get_by_text("You are looking at")).to_contain_text(f"{branched}.c1")
        before = int(slider.get_attribute("max") or 0)

        stack.post(f"machines/{branched}/checkpoint/")

        expect(slider).to_have_attribute("max", str(before + 1), timeout=20_000)
        expect(slider).to_have_value("1")
        expect(page.get_by_text("You are looking at")).to_contain_text(f"{branched}.c1")


class TestACheckpoint:
    def test_it_is_named_and_that_is_undone(self, page: Page, stack: Stack, work: str) -> None:
        page.goto(f"{stack.url}/checkpoints/{work}.c2/")

        page.get_by_label("Name", exact=True).fill("Green tests")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Green tests")
        page.get_by_role("button", name="Undo").click()

        expect(page.get_by_role("heading", level=1)).not_to_contain_text("Green tests")
        assert stack.get(f"checkpoints/{work}.c2/")["name"] == ""

    def test_it_is_proven_and_the_page_tells_when_that_is_done(
        self, page: Page, stack: Stack, work: str
    ) -> None:
        page.goto(f"{stack.url}/checkpoints/{work}.c3/")
        expect(page.locator("#trust")).to_contain_text("proven restorable")

        page.get_by_role("link", name="Verify now").press("Enter")
        page.get_by_role("dialog").get_by_label("Content").check()
        page.get_by_role("button", name="Verify", exact=True).press("Enter")

        expect(page.locator("#trust")).to_contain_text(
            "every file was hashed again in a scratch guest", timeout=FOR_AN_AGENT_MS
        )

    def test_one_on_request_says_what_it_is_for(self, page: Page, stack: Stack, branched: str) -> None:
        page.goto(f"{stack.url}/machines/{branched}/")
        page.get_by_role("link", name="Checkpoint now").press("Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("memory cannot be saved")
        dialog.get_by_label("What for").fill("Before lunch")
        page.keyboard.press("Enter")

        expect(page.locator("#line-card")).to_contain_text("Before lunch")
