"""Where one is signed in: listed, ended one by one or all, and by a new password."""

import re
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts.models import Session
from projects.models import User
from tests.accounts.conftest import PASSWORD, Sign, events, last, sign_in

NEW = "quite-another-horse"


def is_in(client: Client) -> bool:
    return client.get("/account/").status_code == 200


def handles(client: Client) -> list[str]:
    """Of the other browsers, as the page offers to end them."""
    return re.findall(r'name="session" value="(\w+)"', client.get("/account/").content.decode())


class TestTheList:
    def test_it_names_every_browser_and_marks_this_one(self, signed_in: Sign) -> None:
        laptop, phone = signed_in(), signed_in(**{"User-Agent": "Mozilla/5.0 (iPhone) Safari/604.1"})

        page = laptop.get("/account/").content.decode()

        assert "Firefox on Linux" in page
        assert "Safari on iPhone" in page
        assert page.count("This browser") == 1
        assert len(handles(laptop)) == 1
        assert is_in(phone)

    def test_it_holds_no_key_that_would_let_anybody_in(self, signed_in: Sign) -> None:
        laptop, phone = signed_in(), signed_in()
        page = laptop.get("/account/").content.decode()

        assert phone.session.session_key not in page
        assert laptop.session.session_key not in page

    def test_those_of_others_are_not_in_it(self, signed_in: Sign, people: dict[str, User]) -> None:
        bob = Client()
        bob.force_login(people["bob"])

        assert handles(signed_in()) == []

    def test_last_seen_moves_on_by_the_minute(self, browser: Client) -> None:
        long_ago = timezone.now() - timedelta(hours=3)
        Session.objects.update(seen_at=long_ago)

        browser.get("/budgets/")
        seen = Session.objects.get().seen_at
        browser.get("/budgets/")

        assert timezone.now() - seen < timedelta(minutes=1)
        assert Session.objects.get().seen_at == seen, "the second reading wrote nothing"


class TestEnding:
    def test_one(self, signed_in: Sign, alice: User) -> None:
        laptop, phone, tablet = signed_in(), signed_in(), signed_in()
        Session.objects.filter(pk=phone.session.session_key).update(
            seen_at=timezone.now() + timedelta(hours=1)
        )

        laptop.post("/account/sessions/end/", {"session": handles(laptop)[0]})

        assert [is_in(each) for each in (laptop, phone, tablet)] == [True, False, True]
        assert last("account.session_ended").data["before"]["how"] == ["password"]

    def test_all_others(self, signed_in: Sign, alice: User) -> None:
        laptop, phone, tablet = signed_in(), signed_in(), signed_in()

        laptop.post("/account/sessions/end/")

        assert [is_in(each) for each in (laptop, phone, tablet)] == [True, False, False]
        assert last("account.sessions_ended").data["ended"] == 2

    def test_not_those_of_others(self, browser: Client, people: dict[str, User]) -> None:
        bob = Client()
        bob.force_login(people["bob"])
        handle = Session.objects.get(user=people["bob"]).handle

        assert browser.post("/account/sessions/end/", {"session": handle}).status_code == 404
        assert is_in(bob)

    def test_an_operator_can_for_anybody(self, browser: Client) -> None:
        call_command("account", "sign-out", "alice")

        assert not is_in(browser)

    def test_closing_the_account_ends_them(self, browser: Client, alice: User) -> None:
        User.objects.filter(pk=alice.pk).update(is_active=False)

        assert not is_in(browser)


class TestANewPassword:
    def test_it_takes_the_old_one(self, browser: Client) -> None:
        asked = {"oldpassword": "wrong", "password1": NEW, "password2": NEW}

        assert "not your present password" in browser.post("/account/password/", asked).content.decode()
        assert sign_in(Client(), password=NEW).status_code == 200

    def test_it_has_to_be_good(self, browser: Client) -> None:
        page = browser.post(
            "/account/password/", {"oldpassword": PASSWORD, "password1": "short", "password2": "short"}
        ).content.decode()

        assert "at least 10 characters" in page

    def test_it_signs_out_everywhere_else(self, signed_in: Sign, alice: User) -> None:
        laptop, phone = signed_in(), signed_in()

        laptop.post("/account/password/", {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW})

        assert [is_in(laptop), is_in(phone)] == [True, False]
        assert Session.objects.filter(user=alice).count() == 1
        assert (last("account.password_changed").actor, last("account.password_changed").data) == (
            "alice",
            {"sessions_ended": 1},
        )

    def test_one_set_on_the_command_line_does_so_too(
        self, browser: Client, alice: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("getpass.getpass", lambda prompt: NEW)

        call_command("changepassword", "alice", verbosity=0)

        assert not is_in(browser)
        assert last("account.password_changed").actor == "system"

    def test_who_has_none_can_set_one(self, browser: Client, alice: User) -> None:
        alice.set_unusable_password()
        alice.save()
        client = Client()
        client.force_login(alice)

        client.post("/account/password/set/", {"password1": NEW, "password2": NEW})

        assert sign_in(Client(), password=NEW).status_code == 302


class TestAForgottenPassword:
    def test_without_mail_the_page_says_whom_to_ask(self, db: None) -> None:
        page = Client().get("/sign-in/forgotten/").content.decode()

        assert "manage.py changepassword" in page
        assert Client().post("/sign-in/forgotten/", {"email": "alice@example.org"}).status_code == 200

    def test_a_link_comes_by_mail_and_works_once(
        self, browser: Client, alice: User, settings, mailoutbox
    ) -> None:
        settings.EMAIL_HOST = "mail.example.org"
        client = Client()
        client.post("/sign-in/forgotten/", {"email": "alice@example.org"})
        assert [mail.to for mail in mailoutbox] == [["alice@example.org"]]
        link = re.search(r"http://testserver(/\S+)", mailoutbox[0].body)
        assert link

        form = client.get(link[1], follow=True)
        client.post(form.request["PATH_INFO"], {"password1": NEW, "password2": NEW})

        assert sign_in(Client(), password=NEW).status_code == 302
        assert not is_in(browser), "whoever was signed in is out"
        assert last("account.password_changed").actor == "alice"
        assert "used before" in Client().get(link[1], follow=True).content.decode()

    def test_an_address_that_nobody_has_is_answered_alike(self, alice: User, settings, mailoutbox) -> None:
        settings.EMAIL_HOST = "mail.example.org"

        known = Client().post("/sign-in/forgotten/", {"email": "alice@example.org"})
        unknown = Client().post("/sign-in/forgotten/", {"email": "nobody@example.org"})

        assert known["Location"] == unknown["Location"] == "/sign-in/forgotten/sent/"
        assert len(mailoutbox) == 1

    def test_a_mail_server_that_is_away_is_no_error(self, alice: User, settings) -> None:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"

        response = Client().post("/sign-in/forgotten/", {"email": "alice@example.org"})

        assert response.status_code == 302
        assert "account.password_changed" in events(alice), "set by the fixture, and nothing since"
