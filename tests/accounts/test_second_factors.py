"""Authenticator apps and recovery codes: set up, asked for, used up, taken away."""

import re

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import call_command
from django.test import Client

from projects.models import User
from tests.accounts.conftest import PASSWORD, Sign, code, events, last, sign_in


@pytest.fixture
def secret(browser: Client) -> str:
    """Of alice's authenticator app, which she has just set up."""
    found = re.search(r">([A-Z2-7]{32})<", browser.get("/account/app/").content.decode())
    assert found
    browser.post("/account/app/", {"code": code(found[1])})
    return found[1]


def recovery_codes(browser: Client) -> list[str]:
    page = browser.get("/account/recovery-codes/").content.decode()
    shown = re.search(r'<pre[^>]* id="codes"[^>]*>(.*?)</pre>', page, re.DOTALL)
    return shown[1].split() if shown else []


def later(client: Client) -> Client:
    """The same browser, some time after its sign-in."""
    session = client.session
    for record in session["account_authentication_methods"]:
        record["at"] -= 3600
    session.save()
    return client


class TestAnAuthenticatorApp:
    def test_a_wrong_code_does_not_set_it_up(self, browser: Client) -> None:
        browser.get("/account/app/")

        page = browser.post("/account/app/", {"code": "000000"}).content.decode()

        assert "That was not it" in page
        assert not Authenticator.objects.exists()

    def test_it_is_asked_for_after_the_password(self, secret: str, alice: User) -> None:
        client = Client()

        assert sign_in(client, next="/budgets/")["Location"] == "/sign-in/code/"
        assert client.get("/account/").status_code == 302, "the password alone is not enough"
        Authenticator.objects.filter(type="totp").update(last_used_at=None)
        response = client.post("/sign-in/code/", {"code": _unused(secret)})

        assert response["Location"] == "/budgets/"
        assert last("account.signed_in").data["how"] == ["password", "totp"]

    def test_a_code_works_once(self, secret: str) -> None:
        used = _unused(secret)
        first, second = Client(), Client()
        sign_in(first)
        sign_in(second)

        assert first.post("/sign-in/code/", {"code": used}).status_code == 302
        assert second.post("/sign-in/code/", {"code": used}).status_code == 200

    def test_a_wrong_code_is_said_and_recorded(self, secret: str, alice: User) -> None:
        sign_in(client := Client())

        assert "That was not it" in client.post("/sign-in/code/", {"code": "000000"}).content.decode()
        assert events(alice)[-1] == "account.factor_failed"

    def test_many_wrong_codes_are_too_many(self, secret: str) -> None:
        sign_in(client := Client())
        for _ in range(10):
            client.post("/sign-in/code/", {"code": "000000"})

        assert "Too many" in client.post("/sign-in/code/", {"code": _unused(secret)}).content.decode()

    def test_its_key_is_not_readable_in_the_database(self, secret: str) -> None:
        assert all(secret not in str(each.data) for each in Authenticator.objects.all())

    def test_adding_and_removing_it_is_recorded(self, secret: str, browser: Client, alice: User) -> None:
        assert events(alice)[-2:] == ["account.factor_added"] * 2, "recovery codes come with it"

        browser.post("/account/app/remove/")

        assert events(alice)[-2:] == ["account.factor_removed"] * 2, "the recovery codes went with it"
        assert not Authenticator.objects.exists()

    def test_an_operator_can_forget_it_for_who_lost_it(self, secret: str, alice: User) -> None:
        call_command("account", "forget-factors", "alice")

        assert last("account.factor_removed").actor == "system"
        assert sign_in(Client())["Location"] == "/"


class TestRecoveryCodes:
    @pytest.fixture(autouse=True)
    def _app(self, secret: str) -> None:
        """They come with it."""

    def test_they_are_shown_once(self, browser: Client) -> None:
        assert len(recovery_codes(browser)) == 10
        assert recovery_codes(browser) == []

    def test_each_stands_in_once(self, browser: Client, alice: User) -> None:
        one = recovery_codes(browser)[0]
        sign_in(client := Client())
        sign_in(again := Client())

        assert client.post("/sign-in/code/", {"code": one}).status_code == 302
        assert last("account.signed_in").data["how"] == ["password", "recovery_codes"]
        assert again.post("/sign-in/code/", {"code": one}).status_code == 200
        assert "9 left" in client.get("/account/").content.decode()

    def test_new_ones_end_the_old(self, browser: Client) -> None:
        old = recovery_codes(browser)
        browser.post("/account/recovery-codes/new/")

        new = recovery_codes(browser)

        assert len(new) == 10
        assert not set(old) & set(new)
        assert last("account.factor_added").data["factor"] == "recovery_codes"


class TestIsItStillYou:
    @pytest.mark.parametrize(
        "path", ["/account/app/", "/account/passkeys/add/", "/account/recovery-codes/new/"]
    )
    def test_it_is_not_asked_soon_after_signing_in(self, browser: Client, path: str) -> None:
        assert browser.get(path).status_code == 200

    @pytest.mark.parametrize(
        "path", ["/account/app/", "/account/passkeys/add/", "/account/recovery-codes/new/"]
    )
    def test_it_is_asked_later(self, browser: Client, path: str) -> None:
        assert later(browser).get(path)["Location"].startswith("/account/confirm/?next=")

    def test_taking_the_second_factor_away_needs_it(self, secret: str, browser: Client) -> None:
        response = later(browser).post("/account/app/remove/")

        assert response["Location"].startswith("/account/confirm/")
        assert Authenticator.objects.filter(type="totp").exists()

    def test_the_password_leads_on(self, browser: Client) -> None:
        asked = later(browser).get("/account/app/")["Location"]

        wrong = browser.post(asked, {"password": "wrong", "next": "/account/app/"})
        right = browser.post(asked, {"password": PASSWORD, "next": "/account/app/"})

        assert "That is not your password" in wrong.content.decode()
        assert right["Location"] == "/account/app/"
        assert browser.get("/account/app/").status_code == 200

    def test_a_stranger_does_not_keep_one_from_it(self, browser: Client) -> None:
        for _ in range(11):
            sign_in(Client(), password="wrong")

        answer = later(browser).post("/account/confirm/", {"password": PASSWORD, "next": "/account/app/"})

        assert answer["Location"] == "/account/app/"

    def test_a_stolen_session_cannot_guess_for_ever(self, signed_in: Sign) -> None:
        thief = later(signed_in())
        answers = [thief.post("/account/confirm/", {"password": "wrong"}).status_code for _ in range(12)]

        assert answers[-1] == 429


def _unused(secret: str) -> str:
    """A valid code that setting the app up has not used: that of the next half minute, within tolerance."""
    from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time

    return str(format_hotp_value(hotp_value(secret, max(yield_hotp_counters_from_time()))))
