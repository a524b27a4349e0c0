"""Signing in with a real browser: passkeys on a virtual authenticator, an app, both themes, and two servers."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.accounts.conftest import code
from tests.e2e.conftest import stack
from tests.e2e.stack import PASSWORD, Stack, eventually
from tests.e2e.test_browser import chromium, needs_assets, pytestmark, violations

__all__ = ["chromium", "pytestmark", "stack"]  # the fixtures, and what they need


@pytest.fixture
def person(stack: Stack) -> str:
    """Somebody with a password, new in each test."""
    script = (
        "from projects.models import User; n = f'person{User.objects.count()}'; "
        f"User.objects.create_user(n, password='{PASSWORD}'); print('made ' + n)"
    )
    return stack.manage("shell", "--no-imports", "-c", script).split("made ")[1].strip()


@pytest.fixture
def context(stack: Stack, chromium: Browser) -> Iterator[BrowserContext]:
    """A browser of its own. Passkeys belong to names, so it calls the server localhost; no complaint is ignored."""
    address = stack.url.replace("127.0.0.1", "localhost")
    opened = chromium.new_context(base_url=address, viewport={"width": 1100, "height": 900})
    complaints: list[str] = []
    opened.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    opened.on("weberror", lambda error: complaints.append(str(error.error)))
    yield opened
    opened.close()
    assert complaints == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def give_authenticator(page: Page) -> None:
    """A device that has a finger to hold against it, as Chromium's developer tools make one (WebAuthn domain)."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def by_password(page: Page, name: str) -> None:
    page.goto("/sign-in/")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(lambda url: not url.endswith("/sign-in/"))


def sign_out(page: Page, name: str) -> None:
    page.get_by_label(f"{name}: account").click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def add_passkey(page: Page) -> None:
    page.goto("/account/")
    page.get_by_role("link", name="Add a passkey").click()
    page.get_by_label("What you call it").fill("My laptop")
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_text("My laptop").first).to_be_visible()


class TestPasskeys:
    def test_one_is_added_and_signs_in_without_the_password(self, page: Page, person: str) -> None:
        give_authenticator(page)
        by_password(page, person)
        add_passkey(page)
        sign_out(page, person)

        page.goto("/sign-in/?next=/budgets/")
        page.get_by_role("button", name="Sign in with a passkey").click()

        expect(page).to_have_url(re.compile(r"^http://localhost:\d+/budgets/$"), timeout=20_000)
        page.goto("/account/")
        expect(page.get_by_text("by passkey,").first).to_be_visible()

    def test_it_is_the_second_factor_after_the_password(self, page: Page, person: str) -> None:
        give_authenticator(page)
        by_password(page, person)
        add_passkey(page)
        sign_out(page, person)

        by_password(page, person)
        page.get_by_role("button", name="Use a passkey").click()

        expect(page.get_by_role("heading", name="Fleet")).to_be_visible()

    def test_it_is_renamed_and_removed(self, page: Page, person: str) -> None:
        give_authenticator(page)
        by_password(page, person)
        add_passkey(page)

        page.get_by_role("link", name="Rename My laptop").click()
        page.get_by_label("What you call it").fill("Old laptop")
        page.get_by_role("button", name="Rename it").click()
        page.get_by_role("link", name="Remove Old laptop").click()
        page.get_by_role("button", name="Remove it").click()

        expect(page.get_by_text("Old laptop")).to_have_count(0)
        expect(page.get_by_text("Recovery codes")).to_have_count(0)

    def test_where_none_is_on_the_device_it_is_said(self, page: Page) -> None:
        give_authenticator(page)
        page.goto("/sign-in/")

        page.get_by_role("button", name="Sign in with a passkey").click()

        expect(page.get_by_text("No passkey was used.")).to_be_visible()
        page.get_by_role("button", name="Sign in with a passkey").click()

    def test_at_an_address_without_a_name_it_is_said_why_there_are_none(
        self, page: Page, stack: Stack
    ) -> None:
        page.goto(f"{stack.url}/sign-in/")

        expect(page.get_by_text("Passkeys do not work here")).to_be_visible()
        expect(page.get_by_role("button", name="Sign in with a passkey")).to_be_hidden()


class TestAnAuthenticatorApp:
    def test_it_is_set_up_and_the_codes_are_saved(self, page: Page, person: str) -> None:
        by_password(page, person)
        page.goto("/account/")
        page.get_by_role("link", name="Set it up").click()
        expect(page.get_by_alt_text("The key below, as a picture to scan")).to_be_visible()
        key = page.get_by_label("Or type this key").inner_text()

        page.get_by_label("Code", exact=True).fill(code(key))
        page.get_by_role("button", name="Set it up").click()
        with page.expect_download() as saving:
            page.get_by_role("link", name="Download").click()

        saved = saving.value.path().read_text().split()
        assert len(saved) == 10
        sign_out(page, person)
        by_password(page, person)
        page.get_by_label("Code", exact=True).fill(saved[0])
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_role("heading", name="Fleet")).to_be_visible()


class TestSessions:
    def test_a_phone_is_signed_out_from_the_laptop(
        self, page: Page, person: str, stack: Stack, chromium: Browser
    ) -> None:
        by_password(page, person)
        phone = chromium.new_context(base_url=stack.url, user_agent="Mozilla/5.0 (iPhone) Safari/604.1")
        by_password(there := phone.new_page(), person)
        expect(there.get_by_role("heading", name="Fleet")).to_be_visible()

        page.goto("/account/")
        page.get_by_role("button", name="Sign out Safari on iPhone").click()

        expect(page.get_by_text("Safari on iPhone")).to_have_count(0)
        there.goto("/account/")
        expect(there.get_by_role("heading", name="Sign in")).to_be_visible()
        phone.close()


@needs_assets
class TestEveryPage:
    def test_those_on_the_way_through_a_second_factor_are_accessible(self, page: Page, person: str) -> None:
        """What is shown once, or only in the middle; the matrix in tests/pages has the others."""
        page.emulate_media(color_scheme="dark")
        give_authenticator(page)
        by_password(page, person)
        page.goto("/account/passkeys/add/")
        page.get_by_role("button", name="Add it").click()
        expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
        assert violations(page) == []
        sign_out(page, person)
        by_password(page, person)
        expect(page.get_by_role("heading", name="One more step")).to_be_visible()
        assert violations(page) == []

    def test_none_is_wider_than_a_small_phone(self, page: Page, person: str) -> None:
        page.set_viewport_size({"width": 360, "height": 700})
        by_password(page, person)
        for path in ("/account/", "/account/app/", "/account/password/", "/account/passkeys/add/"):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


class TestAttempts:
    def test_two_servers_count_together_and_a_restart_does_not_forget(
        self, stack: Stack, person: str
    ) -> None:
        with second_server(stack) as second:
            for number in range(12):
                page = attempt((stack.url, second)[number % 2], person)
        assert "Too many attempts" in page

        stack.kill("web")
        stack.start("web")
        eventually(lambda: answers(stack.url), what="the server to be back")

        assert "Too many attempts" in attempt(stack.url, person)


def attempt(url: str, name: str) -> str:
    """What the sign-in page says to a wrong password from a browser that nobody knows."""
    session = requests.Session()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', session.get(f"{url}/sign-in/").text)
    assert token
    form = {"username": name, "password": "wrong", "csrfmiddlewaretoken": token[1]}
    return session.post(f"{url}/sign-in/", form, timeout=20).text


@contextmanager
def second_server(stack: Stack) -> Iterator[str]:
    """Another web process on the same database; its address."""
    command = stack.commands["web"]
    port = str(int(stack.url.rpartition(":")[2]) + 1)
    own = [port if part == stack.url.rpartition(":")[2] else part for part in command]
    process = subprocess.Popen(own, cwd=os.getcwd(), env=stack.environment, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: answers(f"http://127.0.0.1:{port}"), what="the second server")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/sign-in/", timeout=5).ok
    except requests.RequestException:
        return False
