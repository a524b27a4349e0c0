"""The pages in a real browser, over the whole stack: a person spawns, watches, looks back, branches and ends."""

import os
import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    StorageState,
    expect,
    sync_playwright,
)

from tests.e2e.stack import PASSWORD, ROOT, Stack

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="There is no Chromium; set CHROMIUM to one, or use bin/test."),
]

PROMPT = "Write a fizzbuzz with tests and make them pass"
FOR_AN_AGENT_MS = 90_000
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
needs_assets = pytest.mark.skipif(
    not AXE.exists(), reason="Run bin/assets first: the console's parts are not there."
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


# Being offline is part of a test, and leaving a page before its socket is open is nobody's fault: Chromium says so.
# htmx says so of a request that a newer one takes the place of.
USUAL = (
    "ERR_INTERNET_DISCONNECTED",
    "Failed to fetch",
    "WebSocket is closed before the connection is established",
    "AbortError",
)


@pytest.fixture(scope="module")
def signed_in(stack: Stack, chromium: Browser) -> StorageState:
    """What a browser keeps of having signed in; a password takes its time to be checked."""
    context = chromium.new_context()
    sign_in(context.new_page(), stack)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def page(stack: Stack, chromium: Browser, signed_in: StorageState) -> Iterator[Page]:
    """A page, signed in. Whatever the console complains of, CSP included, fails the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, storage_state=signed_in)
    complaints: list[str] = []
    page = context.new_page()
    page.on(
        "console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(stack.url)
    yield page
    context.close()
    assert [said for said in complaints if not any(usual in said for usual in USUAL)] == []


def sign_in(page: Page, stack: Stack) -> None:
    page.goto(stack.url)
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Fleet")).to_be_visible()


def spawn(page: Page, prompt: str, kind: str = "vibe") -> str:
    """Fill in the form; the new machine's handle."""
    page.get_by_role("link", name="Spawn a machine").click()
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.get_by_role("radio", name=re.compile(f"^{kind}", re.IGNORECASE)).check()
    page.get_by_role("button", name="Spawn the machine").click()
    return handle_of(page)


def handle_of(page: Page) -> str:
    expect(page).to_have_url(re.compile(r"/machines/m\d+/$"))
    return page.url.rstrip("/").rpartition("/")[2]


def state(page: Page) -> object:
    return page.locator("#pills .pill").first


class TestTheMainPath:
    def test_a_person_spawns_watches_looks_back_and_branches(self, page: Page) -> None:
        first = spawn(page, PROMPT)
        page.evaluate("window.sameDocument = true")

        expect(page.get_by_text("Live", exact=True)).to_be_visible()
        expect(state(page)).to_have_text("Running", timeout=FOR_AN_AGENT_MS)
        expect(page.locator("#log")).to_contain_text("[offline model]", timeout=FOR_AN_AGENT_MS)
        expect(state(page)).to_have_text("Terminated", timeout=FOR_AN_AGENT_MS)
        assert page.evaluate("window.sameDocument"), "it was watched without a reload"
        expect(page.locator("#pills")).to_contain_text("offline model")
        page.locator("#tabs").get_by_role("link", name="Cost").click()
        expect(page.locator("#cost tfoot")).to_contain_text("$")

        page.locator("#tabs").get_by_role("link", name="Checkpoints").click()
        page.locator("#point-3").get_by_role("link", name=re.compile("^c3")).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(f"{first}.c3")
        page.locator("#files").get_by_role("link", name=re.compile("fizzbuzz.py")).first.click()
        expect(page.locator("#file")).to_contain_text("fizzbuzz")

        page.get_by_role("link", name="Branch from here").click()
        page.get_by_label("Prompt", exact=True).fill("Also say Bang for multiples of seven, and test it.")
        page.get_by_role("button", name=f"Branch from {first}.c3").click()
        expect(state(page)).to_have_text("Terminated", timeout=FOR_AN_AGENT_MS)
        expect(page.locator("#facts")).to_contain_text(f"{first}.c3")
        assert handle_of(page) != first

    def test_the_fleet_moves_by_itself(self, page: Page, stack: Stack) -> None:
        handle = stack.spawn("echo hello", kind="shell")

        row = page.locator(f"tr#{handle}")
        expect(row).to_be_visible(timeout=10_000)
        expect(row).to_contain_text("Terminated", timeout=FOR_AN_AGENT_MS)


class TestVerbs:
    def test_terminating_asks_in_a_dialog_and_says_what_it_keeps(self, page: Page) -> None:
        spawn(page, "echo started; sleep 600", kind="shell")
        expect(state(page)).to_have_text("Running", timeout=FOR_AN_AGENT_MS)

        page.get_by_role("link", name="Terminate").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("a final checkpoint is taken")
        page.keyboard.press("Escape")
        expect(dialog).not_to_be_visible()
        page.get_by_role("link", name="Terminate").click()
        dialog.get_by_role("button", name="Terminate").click()

        expect(page.get_by_role("status").filter(has_text="ends in 10 s")).to_be_visible()
        expect(state(page)).to_have_text("Terminated", timeout=FOR_AN_AGENT_MS)

    def test_pausing_and_resuming_keep_the_page(self, page: Page) -> None:
        spawn(page, "sleep 600", kind="shell")
        expect(state(page)).to_have_text("Running", timeout=FOR_AN_AGENT_MS)

        page.get_by_role("button", name="Pause").click()
        expect(state(page)).to_have_text("Paused", timeout=FOR_AN_AGENT_MS)
        page.get_by_role("button", name="Resume").click()
        expect(state(page)).to_have_text("Running", timeout=FOR_AN_AGENT_MS)


class TestTheLog:
    def test_a_burst_of_lines_does_not_hang_the_page(self, page: Page) -> None:
        spawn(page, "seq 20000; echo the-end; sleep 600", kind="shell")

        expect(page.locator("#log")).to_contain_text("the-end", timeout=FOR_AN_AGENT_MS)
        assert page.evaluate("log.scrollHeight - log.scrollTop - log.clientHeight") < 24
        assert page.locator("#log .log-line").count() <= 5200
        page.get_by_role("link", name="Terminate").click(timeout=10_000)
        expect(page.get_by_role("dialog")).to_be_visible(timeout=10_000)

    def test_it_follows_until_one_scrolls_up(self, page: Page) -> None:
        spawn(page, "seq 300; sleep 5; echo later; sleep 600", kind="shell")
        expect(page.locator("#log")).to_contain_text("300", timeout=FOR_AN_AGENT_MS)

        page.locator("#log").hover()
        page.mouse.wheel(0, -2000)
        follow = page.get_by_role("button", name=re.compile("^Follow"))
        expect(follow).to_be_visible()
        expect(follow).to_have_text(re.compile("new"), timeout=20_000)
        follow.click()
        expect(page.locator("#log").get_by_text("later", exact=True)).to_be_in_viewport()


@needs_assets
class TestTheConsole:
    def test_one_types_into_the_machine_in_both_themes(self, page: Page, stack: Stack) -> None:
        console = opened_console(page, stack)

        page.keyboard.type("printf '\\033[31;44mcolou''red\\033[0m\\n'; echo hello-$((20+3))\n")
        expect(console).to_contain_text("hello-23")
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # else colours are on their way
            expect(console.get_by_text("coloured")).to_be_visible()
            assert violations(page) == []

    def test_it_is_left_and_taken_by_keyboard(self, page: Page, stack: Stack) -> None:
        opened_console(page, stack)
        other = page.context.new_page()
        other.goto(page.url)
        expect(other.get_by_role("alert")).to_contain_text("You have this console in another window")

        other.get_by_role("button", name="Take it over").press("Enter")
        expect(page.get_by_role("alert")).to_contain_text(
            "You have taken this console over in another window."
        )
        expect(page.get_by_role("button", name="Reconnect")).to_be_focused()
        expect(other.get_by_text("Open", exact=True)).to_be_visible()
        other.keyboard.press("Control+Shift+L")

        expect(other.get_by_role("button", name="Disconnect")).to_be_focused()


def opened_console(page: Page, stack: Stack) -> Locator:
    """The console of a new machine."""
    stack.await_state(spawn(page, "sleep 600", kind="shell"), "running")
    page.get_by_role("link", name="Console").click()
    console = page.get_by_role("region", name="Console")
    expect(console.get_by_text("Open", exact=True)).to_be_visible(timeout=20_000)
    return console


_STILL = """() => Promise.allSettled(
  document.getAnimations().filter(one => one.effect.getTiming().iterations < Infinity).map(one => one.finished))"""


def violations(page: Page) -> list[str]:
    """What axe finds wrong with the page as it is.

    Colours on their way to others are waited for; what turns for ever is not. It does not preload style sheets: those
    with imports it would copy into the page, which the policy forbids.
    """
    page.evaluate(AXE.read_text())
    page.evaluate(_STILL)
    told = page.evaluate("axe.run({ preload: false })")
    return [f"{one['id']}: {node['target']}" for one in told["violations"] for node in one["nodes"]]


class TestTheConnection:
    def test_a_page_that_is_cut_off_says_so_and_catches_up(self, page: Page, stack: Stack) -> None:
        handle = spawn(page, "sleep 600", kind="shell")
        expect(state(page)).to_have_text("Running", timeout=FOR_AN_AGENT_MS)
        expect(page.get_by_text("Live", exact=True)).to_be_visible()

        page.context.set_offline(True)
        expect(page.get_by_text("Not live")).to_be_visible(timeout=5000)
        stack.post(f"machines/{handle}/pause/")
        stack.await_state(handle, "paused")
        page.context.set_offline(False)

        expect(page.get_by_text("Live", exact=True)).to_be_visible(timeout=30_000)
        expect(state(page)).to_have_text("Paused", timeout=20_000)

    def test_one_page_holds_one_socket(self, page: Page) -> None:
        expect(page.get_by_text("Live", exact=True)).to_be_visible()
        sockets: list[str] = []
        page.on("websocket", lambda socket: sockets.append(socket.url))

        page.reload()
        expect(page.get_by_text("Live", exact=True)).to_be_visible()

        assert len(sockets) == 1


class TestTheme:
    def test_it_is_remembered_under_the_admins_name(self, page: Page) -> None:
        page.get_by_role("button", name=re.compile("^Theme: auto")).click()
        page.get_by_role("button", name=re.compile("^Theme: light")).click()

        page.reload()

        assert page.evaluate("localStorage.theme") == "dark"
        assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"


class TestWithoutScripts:
    @pytest.fixture
    def plain(self, stack: Stack, chromium: Browser) -> Iterator[Page]:
        context: BrowserContext = chromium.new_context(java_script_enabled=False)
        page = context.new_page()
        sign_in(page, stack)
        yield page
        context.close()

    def test_everything_can_be_read_and_done(self, plain: Page, stack: Stack) -> None:
        handle = spawn(plain, "echo without scripts; sleep 600", kind="shell")
        stack.await_state(handle, "running")

        plain.reload()
        plain.get_by_role("link", name="Terminate").click()
        expect(plain.get_by_text("a final checkpoint is taken")).to_be_visible()
        plain.get_by_role("button", name=f"Terminate {handle}").click()
        expect(plain.get_by_text(f"{handle} ends in 10 s")).to_be_visible()
        stack.await_state(handle, "terminated")
        plain.reload()

        expect(plain.locator("#log")).to_contain_text("without scripts")
        plain.get_by_role("link", name=re.compile("^c1")).click()
        plain.get_by_role("link", name="Branch from here").click()
        plain.get_by_role("button", name="Write a file here").click()
        expect(plain.get_by_label("Path in the workspace")).to_be_visible()
