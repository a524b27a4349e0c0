"""The sign-in page: who gets in, who does not, what is recorded, and what of allauth is not there."""

import json

import pytest
from django.test import Client
from django.urls import NoReverseMatch, reverse

from events.models import Event
from projects.models import User
from tests.accounts.conftest import PASSWORD, events, last, sign_in

# A share of these is enough to be held up; see ACCOUNT_RATE_LIMITS.
MANY = 11


class TestSigningIn:
    def test_it_is_recorded_with_how_and_listed_with_where_from(self, alice: User) -> None:
        client = Client(headers={"User-Agent": "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0"})

        sign_in(client)

        assert last("account.signed_in").data["how"] == ["password"]
        assert last("account.signed_in").actor == "alice"
        page = client.get("/account/").content.decode()
        assert "Firefox on Windows" in page
        assert "From 127.0.0.1 by password" in page

    def test_a_wrong_password_is_recorded_without_it(self, alice: User) -> None:
        sign_in(Client(), password="not-her-password")

        failure = last("account.sign_in_failed")
        assert failure.subject == alice.subject
        assert failure.data["name"] == "alice"
        assert "not-her-password" not in json.dumps(failure.data)

    def test_of_a_name_that_nobody_has_only_the_beginning_is_kept(self, alice: User) -> None:
        sign_in(Client(), name="my-password-by-mistake")

        assert last("account.sign_in_failed").data == {"name": "my-…"}

    def test_signing_out_is_recorded(self, browser: Client, alice: User) -> None:
        browser.post("/sign-out/")

        assert events(alice)[-1] == "account.signed_out"
        assert browser.get("/account/").status_code == 302

    def test_a_foreign_address_is_not_gone_to(self, alice: User) -> None:
        assert sign_in(Client(), next="https://evil.example/")["Location"] == "/"

    def test_a_closed_account_stays_out(self, alice: User) -> None:
        User.objects.filter(pk=alice.pk).update(is_active=False)

        sign_in(client := Client())

        assert client.get("/account/").status_code == 302

    @pytest.mark.parametrize("kind", ["machine", "hub"])
    def test_machines_and_hubs_do_not_sign_in(self, alice: User, kind: str) -> None:
        User.objects.filter(pk=alice.pk).update(kind=kind)

        assert sign_in(client := Client())["Location"] == "/sign-in/closed/"
        assert "account is closed" in client.get("/sign-in/closed/").content.decode()
        assert client.get("/account/").status_code == 302

    def test_the_admin_signs_in_by_the_same_page(self, alice: User) -> None:
        response = Client().get("/admin/", follow=True)

        assert response.redirect_chain[-1][0] == "/sign-in/?next=%2Fadmin%2F"

    def test_who_is_not_staff_is_told_so_by_the_admin(self, browser: Client) -> None:
        assert browser.get("/admin/", follow=True).status_code == 403


class TestAttempts:
    def test_too_many_are_not_looked_at_any_more(self, alice: User) -> None:
        for _ in range(MANY):
            sign_in(Client(), password="wrong")

        page = sign_in(Client()).content.decode()

        assert "Too many attempts" in page

    def test_a_stranger_does_not_lock_out_whom_the_name_belongs_to(self, browser: Client) -> None:
        browser.post("/sign-out/")
        for _ in range(MANY):
            sign_in(Client(), password="wrong")

        assert sign_in(browser).status_code == 302

    def test_a_known_browser_has_no_more_attempts_than_others(self, browser: Client) -> None:
        browser.post("/sign-out/")
        for _ in range(MANY):
            sign_in(browser, password="wrong")

        assert "Too many attempts" in sign_in(browser).content.decode()

    def test_a_browser_known_for_one_name_is_a_stranger_to_others(
        self, browser: Client, people: dict[str, User]
    ) -> None:
        browser.post("/sign-out/")
        for _ in range(MANY):
            sign_in(Client(), name="bob", password="wrong")

        assert "Too many attempts" in sign_in(browser, name="bob", password="wrong").content.decode()

    def test_a_made_up_cookie_makes_no_known_browser(self, alice: User) -> None:
        for number in range(MANY):
            client = Client()
            client.cookies["browser"] = f"made-up:{number}"
            sign_in(client, password="wrong")

        assert "Too many attempts" in sign_in(Client()).content.decode()

    def test_one_address_does_not_try_every_name(self, alice: User) -> None:
        for number in range(31):
            sign_in(Client(), name=f"name-{number}", password="wrong")

        assert "Too many" in sign_in(Client()).content.decode()

    def test_attempts_that_were_not_looked_at_leave_no_events(self, alice: User) -> None:
        for _ in range(2 * MANY):
            sign_in(Client(), password="wrong")

        assert Event.objects.filter(kind="account.sign_in_failed").count() == MANY - 1


class TestWhatIsNotThere:
    @pytest.mark.parametrize(
        "path",
        [
            "/sign-up/",
            "/signup/",
            "/account/signup/",
            "/accounts/signup/",
            "/account/email/",
            "/accounts/login/",
            "/account/confirm-email/",
            "/account/3rdparty/signup/",
            "/account/sessions/",
            "/account/recovery-codes/download/",
            "/sign-in/code/request/",
        ],
    )
    def test_pages_of_allauth_that_nobody_needs(self, browser: Client, path: str) -> None:
        assert browser.get(path).status_code == 404
        assert browser.post(path).status_code == 404

    @pytest.mark.parametrize("name", ["account_signup", "account_email", "socialaccount_signup", "mfa_trust"])
    def test_their_names_lead_nowhere(self, name: str) -> None:
        with pytest.raises(NoReverseMatch):
            reverse(name)

    def test_a_sign_up_form_sent_anyway_makes_nobody(self, alice: User) -> None:
        sign_in(Client(), name="mallory", password=PASSWORD, email="m@example.org", password1=PASSWORD)

        assert not User.objects.filter(username="mallory").exists()
