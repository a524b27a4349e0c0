"""JSON Web Tokens: exchanged for an API token, refreshed once each, and ended all together."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.db import connection
from rest_framework.test import APIClient

from events.models import Event
from projects import jwts
from projects.models import ApiToken, JwtFamily, Project, User
from projects.roles import Right
from tests.projects.conftest import Keyed, Later

URL = "/api/v1/auth/jwt/"
DEMO = "/api/v1/projects/demo/"
Pair = dict[str, str]


@pytest.fixture
def minted(project: Project, alice: User) -> tuple[ApiToken, str]:
    return ApiToken.mint(alice, "service", scopes=[Right.VIEW], project=project)


@pytest.fixture
def pair(minted: tuple[ApiToken, str], keyed: Keyed) -> Pair:
    answer = keyed(minted[1]).post(URL)
    assert answer.status_code == 200
    told: Pair = answer.json()
    return told


@pytest.fixture
def refresh() -> Callable[[str], Any]:
    return lambda token: APIClient().post(f"{URL}refresh/", {"refresh": token})


class TestAccess:
    def test_it_can_do_what_the_api_token_can_and_no_more(self, pair: Pair, keyed: Keyed) -> None:
        client = keyed(pair["access"])

        assert client.get(DEMO).status_code == 200
        assert client.get(f"{DEMO}invitations/").status_code == 403
        assert client.post("/api/v1/tokens/", {"name": "x", "scopes": ["manage_project"]}).status_code == 403

    def test_it_lives_for_five_minutes(self, pair: Pair, keyed: Keyed, later: Later) -> None:
        later(minutes=4)
        assert keyed(pair["access"]).get(DEMO).status_code == 200
        later(minutes=2)
        assert keyed(pair["access"]).get(DEMO).status_code == 401

    def test_it_outlives_no_api_token(self, minted: tuple[ApiToken, str], keyed: Keyed) -> None:
        token, key = minted
        ApiToken.objects.filter(pk=token.pk).update(expires_at=token.created_at + timedelta(minutes=1))

        told = keyed(key).post(URL).json()

        assert told["access_expires_at"] == told["refresh_expires_at"]

    def test_a_refresh_token_is_no_access_token(self, pair: Pair, keyed: Keyed) -> None:
        assert keyed(pair["refresh"]).get(DEMO).status_code == 401

    def test_it_makes_and_renews_no_key_that_would_outlive_it(
        self, pair: Pair, minted: tuple[ApiToken, str], keyed: Keyed
    ) -> None:
        client, asked = keyed(pair["access"]), {"name": "x", "scopes": ["view_project"], "project": "demo"}

        assert client.post("/api/v1/tokens/", asked).status_code == 403
        assert client.post(f"/api/v1/tokens/{minted[0].pk}/rotate/").status_code == 403
        assert ApiToken.objects.get() == minted[0]

    def test_only_an_api_token_is_exchanged(self, pair: Pair, keyed: Keyed, browser_api: Any) -> None:
        assert keyed(pair["access"]).post(URL).status_code == 401
        assert browser_api("alice").post(URL).status_code == 401
        assert APIClient().post(URL).status_code == 401


class TestRefreshing:
    def test_gives_another_pair_and_the_family_goes_on(
        self, pair: Pair, keyed: Keyed, refresh: Any, later: Later
    ) -> None:
        for _ in range(3):
            later(days=6)
            pair = refresh(pair["refresh"]).json()
            assert keyed(pair["access"]).get(DEMO).status_code == 200
        assert JwtFamily.objects.count() == 1

    def test_is_too_late_after_seven_days(self, pair: Pair, refresh: Any, later: Later) -> None:
        later(days=7, seconds=1)
        assert refresh(pair["refresh"]).status_code == 401

    def test_twice_with_one_token_ends_the_whole_family(self, pair: Pair, keyed: Keyed, refresh: Any) -> None:
        second = refresh(pair["refresh"]).json()

        stolen = refresh(pair["refresh"])

        assert stolen.status_code == 401
        assert stolen["Content-Type"] == "application/problem+json"
        assert stolen.json()["type"] == "urn:autovibe:refresh-token-reused"
        assert refresh(second["refresh"]).status_code == 401
        for access in (pair["access"], second["access"]):
            assert keyed(access).get(DEMO).status_code == 401
        assert Event.objects.get(kind="jwt.reused").subject.startswith("user:")

    def test_the_same_token_leaves_other_families_alone(
        self, pair: Pair, minted: tuple[ApiToken, str], keyed: Keyed, refresh: Any
    ) -> None:
        other = keyed(minted[1]).post(URL).json()
        refresh(pair["refresh"])
        refresh(pair["refresh"])

        assert refresh(other["refresh"]).status_code == 200

    @pytest.mark.parametrize("token", ["", "nonsense", "eyJhbGciOiJub25lIn0.e30."])
    def test_what_is_none_of_ours_is_refused(self, token: str, db: None, refresh: Any) -> None:
        assert refresh(token).status_code in (400, 401)

    def test_a_token_signed_by_nobody_or_by_somebody_else_is_none_of_ours(
        self, pair: Pair, refresh: Any
    ) -> None:
        claims = jwt.decode(pair["refresh"], options={"verify_signature": False})

        assert refresh(jwt.encode(claims, None, "none")).status_code == 401
        assert refresh(jwt.encode(claims, "x" * 32, "HS256")).status_code == 401
        assert refresh(pair["refresh"]).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_with_one_token_only_one_gets_a_pair(pair: Pair, keyed: Keyed, refresh: Any) -> None:
    answers: list[int] = []
    start = threading.Barrier(2)

    def ask() -> None:
        start.wait()
        answers.append(refresh(pair["refresh"]).status_code)
        connection.close()

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for one in asking:
        one.start()
    for one in asking:
        one.join()

    assert sorted(answers) == [200, 401]
    assert JwtFamily.objects.get().revoked_at


class TestEnding:
    @pytest.mark.parametrize("which", ["access", "refresh"])
    def test_either_token_ends_both(self, which: str, pair: Pair, keyed: Keyed, refresh: Any) -> None:
        assert APIClient().post(f"{URL}revoke/", {"token": pair[which]}).status_code == 204

        assert keyed(pair["access"]).get(DEMO).status_code == 401
        assert refresh(pair["refresh"]).status_code == 401
        assert APIClient().post(f"{URL}revoke/", {"token": pair[which]}).status_code == 401

    def test_they_end_with_the_api_token(
        self, pair: Pair, minted: tuple[ApiToken, str], keyed: Keyed, refresh: Any
    ) -> None:
        keyed(minted[1]).delete(f"/api/v1/tokens/{minted[0].pk}/")

        assert keyed(pair["access"]).get(DEMO).status_code == 401
        assert refresh(pair["refresh"]).status_code == 401

    def test_they_end_with_the_user(self, pair: Pair, alice: User, keyed: Keyed, refresh: Any) -> None:
        User.objects.filter(pk=alice.pk).update(is_active=False)

        assert keyed(pair["access"]).get(DEMO).status_code == 401
        assert refresh(pair["refresh"]).status_code == 401


class TestKeys:
    def test_an_earlier_one_still_verifies_and_a_new_one_signs(
        self, pair: Pair, keyed: Keyed, refresh: Any, settings: Any
    ) -> None:
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]

        assert keyed(pair["access"]).get(DEMO).status_code == 200
        pair = refresh(pair["refresh"]).json()

        settings.SECRET_KEY_FALLBACKS = []
        assert keyed(pair["access"]).get(DEMO).status_code == 200

    def test_without_its_key_a_token_is_worth_nothing(self, pair: Pair, keyed: Keyed, settings: Any) -> None:
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", []
        assert keyed(pair["access"]).get(DEMO).status_code == 401

    def test_nothing_in_the_database_can_be_used(self, pair: Pair, minted: tuple[ApiToken, str]) -> None:
        kept = str([*JwtFamily.objects.values(), *Event.objects.values(), *ApiToken.objects.values()])
        assert pair["refresh"] not in kept
        assert pair["access"] not in kept
        assert minted[1] not in kept
        assert jwts.looks_like_one(pair["access"])
