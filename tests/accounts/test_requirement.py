"""REQUIRE_MFA: who lacks a second factor sees their account's page, and nothing else."""

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import Client

from accounts.requirement import SecondFactorSockets
from projects.models import User
from tests.accounts.conftest import sign_in


@pytest.fixture
def admin(alice: User) -> User:
    alice.is_staff = alice.is_superuser = True
    alice.save()
    return alice


@pytest.fixture
def required(settings) -> None:
    settings.REQUIRE_MFA = "admins"


@pytest.mark.usefixtures("required")
class TestWhenAdminsNeedOne:
    def test_pages_lead_to_where_it_is_set_up_which_says_why(self, admin: User) -> None:
        sign_in(client := Client())

        response = client.get("/budgets/", follow=True)

        assert response.redirect_chain == [("/account/", 302)]
        assert "A second factor is required of administrators" in response.content.decode()
        assert client.get("/account/app/").status_code == 200

    def test_the_admin_pages_are_closed_too(self, admin: User) -> None:
        sign_in(client := Client())

        assert client.get("/admin/")["Location"] == "/account/"

    def test_the_api_refuses_the_session(self, admin: User) -> None:
        sign_in(client := Client())

        response = client.get("/api/v1/projects/")

        assert response.status_code == 403
        assert response.json()["type"] == "urn:autovibe:second-factor-required"

    def test_a_fragment_gets_no_page(self, admin: User) -> None:
        sign_in(client := Client())

        assert client.get("/", headers={"HX-Request": "true"}).status_code == 401

    def test_with_one_everything_is_open(self, admin: User) -> None:
        admin.authenticator_set.create(type="totp", data={"secret": ""})
        client = Client()
        client.force_login(admin)

        assert client.get("/budgets/").status_code == 200

    def test_recovery_codes_alone_are_none(self, admin: User) -> None:
        admin.authenticator_set.create(type="recovery_codes", data={})
        client = Client()
        client.force_login(admin)

        assert client.get("/budgets/").status_code == 302

    def test_others_need_none(self, alice: User) -> None:
        sign_in(client := Client())

        assert client.get("/budgets/").status_code == 200

    def test_signing_out_stays_possible(self, admin: User) -> None:
        sign_in(client := Client())

        client.post("/sign-out/")

        assert client.get("/account/")["Location"].startswith("/sign-in/")


class TestOtherwise:
    def test_all_means_everybody(self, alice: User, settings) -> None:
        settings.REQUIRE_MFA = "all"
        sign_in(client := Client())

        assert client.get("/budgets/")["Location"] == "/account/"

    def test_nobody_is_asked_by_default(self, admin: User) -> None:
        sign_in(client := Client())

        assert client.get("/budgets/").status_code == 200

    def test_strangers_see_the_sign_in_page(self, settings, db: None) -> None:
        settings.REQUIRE_MFA = "all"

        assert Client().get("/sign-in/").status_code == 200


@pytest.mark.django_db(transaction=True)
class TestSockets:
    async def test_to_them_who_lacks_one_is_a_stranger(self, admin: User, required: None) -> None:
        seen = []

        async def application(scope, receive, send) -> None:
            seen.append(scope["user"])

        await SecondFactorSockets(application)({"user": admin}, None, None)
        await admin.authenticator_set.acreate(type="totp", data={})
        await SecondFactorSockets(application)({"user": admin}, None, None)

        assert isinstance(seen[0], AnonymousUser)
        assert seen[1] == admin
