"""What the API says of itself, of who asks, and of whether all is well."""

from collections.abc import Callable

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from guests.models import Guest
from projects.models import ApiToken, Project, User
from projects.roles import Right

Api = Callable[[str], APIClient]


def bearing(key: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    return client


class TestIndex:
    def test_it_is_for_everybody_and_leads_on(self, db: None) -> None:
        index = APIClient().get("/api/v1/").json()
        assert index["links"]["machines"] == "/api/v1/machines/"
        assert index["schema"] == "/api/schema/"


class TestMe:
    def test_an_owner_sees_all_rights(self, api: Api, project: Project) -> None:
        me = api("alice").get("/api/v1/me/").json()
        assert (me["username"], me["kind"], me["administers"], me["token"]) == (
            "alice",
            "person",
            False,
            None,
        )
        assert me["projects"] == [
            {"project": "demo", "role": "owner", "rights": [right.value for right in Right]}
        ]

    def test_a_token_says_what_it_allows(self, people: dict[str, User], project: Project) -> None:
        key = ApiToken.mint(people["alice"], "ci", scopes=[Right.VIEW], project=project)[1]
        me = bearing(key).get("/api/v1/me/").json()
        assert me["token"] == {
            "name": "ci",
            "rights": ["view_project"],
            "project": "demo",
            "expires_at": None,
        }
        assert me["projects"] == [{"project": "demo", "role": "viewer", "rights": ["view_project"]}]

    def test_an_outsider_has_nothing(self, api: Api, project: Project) -> None:
        assert api("charlie").get("/api/v1/me/").json()["projects"] == []

    def test_somebody_has_to_ask(self, db: None) -> None:
        assert APIClient().get("/api/v1/me/").status_code == 401


class TestHealth:
    @pytest.fixture
    def heard(self, template: Guest) -> None:
        template.observed_at = timezone.now()
        template.save()

    def test_everybody_learns_whether_all_is_well_and_no_more(self, db: None) -> None:
        health = APIClient().get("/api/v1/health/").json()
        assert (health["status"], health["details"]) == ("degraded", None)  # no worker and no hub runs

    def test_administrators_learn_what_is_the_matter(self, heard: None) -> None:
        key = ApiToken.mint(User.objects.create_superuser("root"), "ops")[1]
        details = bearing(key).get("/api/v1/health/").json()["details"]
        assert details["parts"] == {
            "database": "ok",
            "worker": "not connected",
            "hub": "not connected",
            "node": "ok",
        }
        assert details["proxmox_seen_at"]
        assert (details["queued"], details["queued_since"], details["needs_operator"]) == (0, None, 0)

    def test_a_member_does_not(self, api: Api, project: Project) -> None:
        assert api("alice").get("/api/v1/health/").json()["details"] is None
