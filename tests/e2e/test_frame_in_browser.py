"""The frame in a real browser: the palette and the keys, theme and time zone, toasts, counts, another version."""

import re

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from tests.e2e.stack import Stack
from tests.e2e.test_browser import chromium, needs_assets, page, pytestmark, signed_in, violations

__all__ = ["chromium", "page", "pytestmark", "signed_in"]  # the fixtures, and what they need


@pytest.fixture(autouse=True)
def _settled(page: Page) -> None:
    """Keys are heard once the page's scripts have run."""
    page.wait_for_function("() => document.documentElement.dataset.settled === ''")


def notify(page: Page, **toast: str) -> None:
    page.evaluate(
        "toast => document.body.dispatchEvent(new CustomEvent('toast', {detail: toast, bubbles: true}))",
        toast,
    )


def keep(page: Page) -> None:
    with page.expect_navigation():
        page.get_by_role("button", name="Keep these").click()
    expect(page.get_by_text("Kept.")).to_be_visible()
    page.wait_for_function("() => document.documentElement.dataset.settled === ''")


class TestThePalette:
    def test_it_is_used_by_keyboard_alone(self, page: Page, stack: Stack) -> None:
        page.keyboard.press("Control+k")
        field = page.get_by_role("combobox", name="Find anything")
        expect(field).to_be_focused()
        expect(page.get_by_role("option", name="Fleet")).to_have_attribute("aria-selected", "true")

        page.keyboard.press("ArrowDown")
        expect(page.get_by_role("option", selected=True)).to_contain_text("Needs you")
        page.keyboard.type("spawn demo")
        expect(page.get_by_role("option", selected=True)).to_contain_text("Spawn in demo")
        assert field.get_attribute("aria-activedescendant") == "palette-1"
        page.keyboard.press("Enter")

        page.wait_for_url(f"{stack.url}/machines/new/?project=demo")

    def test_escape_gives_the_focus_back(self, page: Page) -> None:
        button = page.get_by_role("link", name="Find anything")
        button.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("combobox", name="Find anything")).to_be_focused()

        page.keyboard.press("Escape")

        expect(button).to_be_focused()

    def test_without_scripts_its_button_leads_to_a_page(
        self, chromium: Browser, signed_in: StorageState, stack: Stack
    ) -> None:
        context = chromium.new_context(storage_state=signed_in, java_script_enabled=False)
        page = context.new_page()
        page.goto(stack.url)
        page.get_by_role("link", name="Find anything").click()
        page.get_by_role("searchbox", name="Find").fill("demo")
        page.get_by_role("button", name="Find").click()

        expect(page.get_by_role("link", name="Spawn in demo")).to_be_visible()
        context.close()


class TestTheKeys:
    def test_two_keys_go_somewhere(self, page: Page, stack: Stack) -> None:
        page.keyboard.press("g")
        page.keyboard.press("b")

        page.wait_for_url(f"{stack.url}/budgets/")

    def test_a_question_mark_lists_those_of_the_page(self, page: Page) -> None:
        page.keyboard.press("?")

        keys = page.get_by_role("dialog", name="Keys of this page")
        expect(keys).to_contain_text("Go to Budgets")
        expect(keys).to_contain_text("Find anything")
        page.keyboard.press("s")  # nothing behind a dialog is pressed
        expect(keys).to_be_visible()
        page.keyboard.press("Escape")
        expect(keys).to_be_hidden()

    def test_what_is_typed_into_a_field_is_text(self, page: Page, stack: Stack) -> None:
        page.goto(f"{stack.url}/palette/")
        page.get_by_role("searchbox", name="Find").focus()
        page.keyboard.type("gb?/s")

        expect(page.get_by_role("searchbox", name="Find")).to_have_value("gb?/s")
        assert page.url == f"{stack.url}/palette/"

    def test_they_can_be_switched_off(self, page: Page, stack: Stack) -> None:
        page.goto(f"{stack.url}/settings/appearance/")
        page.get_by_role("checkbox", name="Single keys").uncheck()
        keep(page)
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keys of this page")).to_be_hidden()
        page.keyboard.press("Control+k")
        expect(page.get_by_role("combobox", name="Find anything")).to_be_focused()
        page.keyboard.press("Escape")

        page.get_by_role("checkbox", name="Single keys").check()
        keep(page)
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keys of this page")).to_be_visible()


class TestThemeAndZone:
    def test_the_administration_has_the_theme_that_was_chosen_here(self, page: Page, stack: Stack) -> None:
        page.goto(f"{stack.url}/settings/appearance/")
        page.get_by_role("radio", name="Dark").check()
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")

        page.goto(f"{stack.url}/admin/")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        page.get_by_role("button", name="Toggle theme").first.click()  # dark, auto, light
        chosen = page.locator("html").get_attribute("data-theme")
        page.goto(stack.url)
        expect(page.locator("html")).to_have_attribute("data-theme", str(chosen))
        assert chosen != "dark"

    def test_times_are_of_the_browsers_zone_unless_another_is_chosen(
        self, chromium: Browser, signed_in: StorageState, stack: Stack
    ) -> None:
        context = chromium.new_context(storage_state=signed_in, timezone_id="Asia/Tokyo")
        page = context.new_page()
        page.goto(stack.url)
        page.goto(f"{stack.url}/settings/appearance/")
        expect(page.get_by_text(re.compile(r"It is now .* JST"))).to_be_visible()
        expect(page.get_by_role("contentinfo")).to_contain_text("Times are Asia/Tokyo")

        page.get_by_label("Time zone").fill("UTC")
        page.keyboard.press("Enter")
        expect(page.get_by_role("contentinfo")).to_contain_text("Times are UTC")
        page.get_by_label("Time zone").fill("")
        page.keyboard.press("Enter")
        expect(page.get_by_role("contentinfo")).to_contain_text("Times are Asia/Tokyo")
        context.close()


class TestWhatIsSaid:
    def test_toasts_come_from_any_answer_at_most_three_and_bad_news_stays(self, page: Page) -> None:
        page.route("**/counts/", lambda route: route.fulfill(
            status=200, headers={"HX-Trigger": '{"toast": {"tone": "ok", "text": "c7 was made.", "href": "/budgets/"}}'}
        ))  # fmt: skip
        page.reload()
        toasts = page.locator(".toast")
        expect(toasts.get_by_role("link", name="c7 was made.")).to_have_attribute("href", "/budgets/")

        notify(page, tone="error", text="It broke.")
        notify(page, tone="info", text="Under way.")
        notify(page, tone="ok", text="Done.")

        expect(toasts).to_have_count(3)
        expect(toasts.first).to_contain_text("It broke.")
        expect(toasts).to_have_count(1, timeout=10_000)
        toasts.get_by_role("button", name="Dismiss").click()
        expect(toasts).to_have_count(0)

    def test_a_page_of_another_version_offers_to_reload(self, page: Page, stack: Stack) -> None:
        expect(page.get_by_text("Live", exact=True)).to_be_visible()
        expect(page.get_by_text("autovibe was updated")).to_be_hidden()
        page.route_web_socket(
            re.compile("/ws/"), lambda ws: ws.send('{"type": "hello", "version": "another"}')
        )
        page.reload()

        expect(page.get_by_text("autovibe was updated")).to_be_visible()

    def test_a_hidden_page_notifies_when_more_needs_this_person(self, page: Page, stack: Stack) -> None:
        page.context.grant_permissions(["notifications"])
        page.goto(f"{stack.url}/settings/appearance/")
        page.get_by_role("checkbox", name="Notifications").check()
        keep(page)
        page.clock.install()
        page.add_init_script("""
            window.told = [];
            window.Notification = class {
                static permission = "granted";
                constructor(words) { window.told.push(words); }
            };
            Object.defineProperty(document, "hidden", { get: () => true });
        """)
        page.reload()
        page.wait_for_function("() => document.documentElement.dataset.settled === ''")
        needing = "needs => document.dispatchEvent(new CustomEvent('needs', {detail: needs}))"

        page.evaluate(needing, 2)
        page.clock.run_for(9_000)
        page.evaluate(needing, 0)  # somebody else dealt with it
        page.clock.run_for(15_000)
        assert page.evaluate("told") == []
        page.evaluate(needing, 3)
        page.clock.run_for(10_000)

        assert page.evaluate("told") == ["3 things wait for you"]


@needs_assets
def test_what_opens_over_a_page_has_no_violation(page: Page) -> None:
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        page.keyboard.press("Control+k")
        expect(page.get_by_role("option").first).to_be_visible()
        assert violations(page) == []
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        assert violations(page) == []
        page.keyboard.press("Escape")
        page.get_by_role("link", name="Operations", exact=True).first.click()
        expect(page.get_by_role("dialog", name="Operations")).to_be_visible()
        assert violations(page) == []
        page.keyboard.press("Escape")
