"""OpenID Connect against a provider over HTTP: who of the company gets in, as whom, and into which groups."""

import html
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import Group
from django.test import Client

from projects.models import User
from tests.accounts.conftest import last, sign_in
from tests.accounts.provider import CLIENT_ID, CLIENT_SECRET, Provider

DORA = {
    "sub": "d-1",
    "preferred_username": "dora",
    "email": "dora@example.org",
    "email_verified": True,
    "groups": ["audit", "canteen"],
}


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    provider = Provider()
    provider.start()
    yield provider
    provider.stop()


@pytest.fixture
def provider(running: Provider, settings: Any) -> Provider:
    """Dora is signed in there."""
    running.person, running.refuses, running.audience = dict(DORA), False, CLIENT_ID
    app = {"provider_id": "company", "name": "Example Corp", "client_id": CLIENT_ID, "secret": CLIENT_SECRET}
    app["settings"] = {"server_url": running.url, "scope": ["openid", "email"]}
    settings.OIDC_ISSUER, settings.OIDC_NAME = running.url, "Example Corp"
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}}
    settings.OIDC_SIGN_UP = True
    return running


def come(client: Client, process: str = "login", **form: str) -> Any:
    """Sign in with the company, as a browser does: our page, the provider, and back. The answer to coming back."""
    start = client.post(f"/account/oidc/company/login/?process={process}", form)
    assert start.status_code == 200, "a redirect of a form would be stopped by our own CSP"
    link = re.search(r'content="0;url=([^"]+)"', start.content.decode())
    assert link
    back = requests.get(html.unescape(link[1]), allow_redirects=False, timeout=10).headers["Location"]
    return client.get(urlsplit(back).path + "?" + urlsplit(back).query)


def person_in(client: Client) -> str:
    """Who is signed in; empty for nobody."""
    page = client.get("/account/")
    return str(page.wsgi_request.user.get_username()) if page.status_code == 200 else ""


@pytest.mark.django_db
class TestComingIn:
    def test_the_sign_in_page_offers_it(self, provider: Provider) -> None:
        assert "Sign in with Example Corp" in Client().get("/sign-in/").content.decode()

    def test_without_a_provider_it_does_not(self) -> None:
        assert "/account/oidc/" not in Client().get("/sign-in/").content.decode()
        assert Client().post("/account/oidc/company/login/").status_code == 404

    def test_a_new_person_gets_an_account(self, provider: Provider) -> None:
        client = Client()

        response = come(client, next="/budgets/")

        assert response["Location"] == "/budgets/"
        dora = User.objects.get(username="dora")
        assert (dora.email, dora.has_usable_password(), dora.administers) == (
            "dora@example.org",
            False,
            False,
        )
        assert last("account.created").subject == dora.subject
        assert last("account.signed_in").data["how"] == ["socialaccount"]
        assert "by Example Corp" in client.get("/account/").content.decode()

    @pytest.mark.parametrize("name", ["system", "Nobody"])
    def test_nobody_is_called_as_the_log_of_events_calls_us(self, provider: Provider, name: str) -> None:
        provider.person["preferred_username"] = name

        come(Client())

        assert SocialAccount.objects.get().user.username not in {"system", "nobody", name}

    def test_the_second_time_it_is_the_same_person(self, provider: Provider) -> None:
        come(Client())
        provider.person["preferred_username"] = "married"
        come(client := Client())

        assert person_in(client) == "dora"
        assert SocialAccount.objects.count() == 1

    def test_a_name_that_is_taken_leads_to_another(self, provider: Provider, alice: User) -> None:
        provider.person["preferred_username"] = "alice"
        come(client := Client())

        assert person_in(client) not in {"", "alice"}

    def test_a_second_factor_set_up_here_is_asked_for(self, provider: Provider) -> None:
        come(Client())
        User.objects.get(username="dora").authenticator_set.create(type="totp", data={"secret": ""})
        client = Client()

        assert come(client)["Location"] == "/sign-in/code/"
        assert person_in(client) == ""

    def test_it_starts_by_a_post_only(self, provider: Provider) -> None:
        assert Client().get("/account/oidc/company/login/").status_code == 405


@pytest.mark.django_db
class TestStayingOut:
    def refused(self, client: Client) -> str:
        """What the sign-in page says after a try."""
        assert come(client)["Location"] == "/sign-in/"
        assert person_in(client) == ""
        return client.get("/sign-in/").content.decode()

    def test_without_sign_up_nobody_new_comes_in(self, provider: Provider, settings: Any) -> None:
        settings.OIDC_SIGN_UP = False

        assert "ask for an invitation" in self.refused(Client())
        assert not User.objects.filter(username="dora").exists()
        assert last("account.sign_in_refused").data["uid"] == "d-1"

    def test_who_is_of_another_domain(self, provider: Provider, settings: Any) -> None:
        settings.OIDC_ALLOWED_DOMAINS = ["example.com"]

        assert "address of example.com" in self.refused(Client())

    @pytest.mark.parametrize("told", [False, "false", "False", None])
    def test_who_has_not_confirmed_the_address(self, provider: Provider, settings: Any, told: object) -> None:
        settings.OIDC_ALLOWED_DOMAINS = ["example.org"]
        provider.person["email_verified"] = told

        assert "address of example.org" in self.refused(Client())

    def test_a_domain_is_no_part_of_another(self, provider: Provider, settings: Any) -> None:
        settings.OIDC_ALLOWED_DOMAINS = ["ple.org"]

        assert "address of ple.org" in self.refused(Client())

    def test_who_was_let_in_before_and_lost_the_domain(self, provider: Provider, settings: Any) -> None:
        come(Client())
        settings.OIDC_ALLOWED_DOMAINS = ["example.com"]

        assert "address of example.com" in self.refused(Client())

    def test_an_address_that_somebody_has_here_takes_over_nothing(
        self, provider: Provider, alice: User
    ) -> None:
        provider.person["email"] = "ALICE@example.org"

        assert "has that e-mail address already" in self.refused(Client())
        assert not SocialAccount.objects.exists()

    def test_a_closed_account(self, provider: Provider) -> None:
        come(Client())
        User.objects.filter(username="dora").update(is_active=False)
        client = Client()

        assert come(client)["Location"] == "/sign-in/closed/"
        assert person_in(client) == ""

    def test_who_changes_their_mind_there(self, provider: Provider) -> None:
        provider.refuses = True

        assert come(Client())["Location"] == "/sign-in/cancelled/"

    def test_a_token_for_somebody_else(self, provider: Provider) -> None:
        provider.audience = "another-client"
        client = Client()

        assert come(client).status_code == 401
        assert person_in(client) == ""

    def test_an_answer_that_another_browser_asked_for(self, provider: Provider) -> None:
        mallory = Client()
        start = mallory.post("/account/oidc/company/login/").content.decode()
        link = re.search(r'content="0;url=([^"]+)"', start)
        assert link
        back = requests.get(html.unescape(link[1]), allow_redirects=False, timeout=10).headers["Location"]
        victim = Client()

        assert victim.get(urlsplit(back).path + "?" + urlsplit(back).query).status_code == 401
        assert person_in(victim) == ""


@pytest.mark.django_db
class TestConnecting:
    def test_who_is_signed_in_connects_and_comes_in_by_it(self, provider: Provider, browser: Client) -> None:
        assert come(browser, process="connect")["Location"] == "/account/"
        client = Client()
        come(client)

        assert person_in(client) == "alice"
        assert last("account.connected").actor == "alice"

    def test_what_is_connected_to_one_is_not_connected_to_another(
        self, provider: Provider, browser: Client
    ) -> None:
        come(Client())

        come(browser, process="connect")

        assert "connected to somebody else" in browser.get("/account/").content.decode()
        assert SocialAccount.objects.get().user.username == "dora"

    def test_it_is_disconnected_again(self, provider: Provider, browser: Client) -> None:
        come(browser, process="connect")

        browser.post("/account/connections/", {"account": SocialAccount.objects.get().pk})

        assert not SocialAccount.objects.exists()
        assert last("account.disconnected").actor == "alice"

    def test_the_only_way_in_is_not_cut_off(self, provider: Provider) -> None:
        come(client := Client())

        page = client.post("/account/connections/", {"account": SocialAccount.objects.get().pk})

        assert "no password" in page.content.decode()
        assert SocialAccount.objects.exists()

    def test_somebody_elses_is_not_found(self, provider: Provider, browser: Client) -> None:
        come(Client())

        browser.post("/account/connections/", {"account": SocialAccount.objects.get().pk})

        assert SocialAccount.objects.exists()


@pytest.mark.django_db
class TestGroups:
    @pytest.fixture(autouse=True)
    def _mapped(self, settings: Any) -> None:
        settings.OIDC_GROUPS_CLAIM = "groups"
        settings.OIDC_GROUPS = {"audit": "Auditors", "sre": "Operators"}

    def groups(self) -> set[str]:
        return set(Group.objects.filter(user__username="dora").values_list("name", flat=True))

    def test_the_claim_puts_into_those_that_it_stands_for(self, provider: Provider) -> None:
        come(Client())

        assert self.groups() == {"Auditors"}
        assert last("account.groups_changed").data == {"before": [], "after": ["Auditors"]}

    def test_every_sign_in_brings_them_up_to_date(self, provider: Provider) -> None:
        come(Client())
        provider.person["groups"] = "sre"
        come(Client())

        assert self.groups() == {"Operators"}

    def test_others_are_left_alone(self, provider: Provider) -> None:
        come(Client())
        User.objects.get(username="dora").groups.add(Group.objects.create(name="Choir"))
        del provider.person["groups"]
        come(Client())

        assert self.groups() == {"Choir"}

    def test_who_signs_in_otherwise_keeps_theirs(self, alice: User) -> None:
        alice.groups.add(Group.objects.get_or_create(name="Auditors")[0])

        sign_in(Client())

        assert alice.groups.filter(name="Auditors").exists()
