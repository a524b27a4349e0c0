"""Limits of a hub, over REST: set by staff, and every call of its projects has to fit them."""

import pytest
from rest_framework.test import APIClient

from events.models import Event
from projects.models import Project, User


@pytest.fixture
def staff(people: dict[str, User]) -> APIClient:
    people["alice"].is_staff = True
    people["alice"].save()
    client = APIClient()
    client.force_authenticate(people["alice"])
    return client


class TestHubLimits:
    def test_staff_set_see_and_lift_them(self, staff: APIClient) -> None:
        set_ = staff.put("/api/v1/budgets/hub:primary/", {"resource": "money", "limit": 500}, format="json")
        assert [(one["scope"], one["limit"]) for one in set_.json()["budgets"]] == [("Hub primary", 500)]
        assert staff.get("/api/v1/budgets/system/").json()["budgets"] == []
        lifted = staff.delete("/api/v1/budgets/hub:primary/?resource=money")
        assert lifted.json()["budgets"] == []

    def test_others_do_not(self, people: dict[str, User]) -> None:
        client = APIClient()
        client.force_authenticate(people["bob"])
        assert client.get("/api/v1/budgets/hub:primary/").status_code == 403


class TestHubOfAProject:
    def test_staff_give_a_project_to_another_hub(self, staff: APIClient, project: Project) -> None:
        assert staff.get("/api/v1/projects/demo/").json()["hub"] == "primary"
        given = staff.put("/api/v1/projects/demo/hub/", {"hub": "research"}, format="json")
        assert given.json()["hub"] == "research"
        assert Event.objects.get(kind="project.hub_set").data["before"] == "primary"

    @pytest.mark.parametrize("name", ["", "Research", "9", "a b", "x" * 41])
    def test_what_is_no_name_is_refused(self, staff: APIClient, project: Project, name: str) -> None:
        assert staff.put("/api/v1/projects/demo/hub/", {"hub": name}, format="json").status_code == 400

    def test_owners_do_not_choose_their_limits_that_way(
        self, project: Project, people: dict[str, User]
    ) -> None:
        client = APIClient()
        client.force_authenticate(people["alice"])
        assert client.put("/api/v1/projects/demo/hub/", {"hub": "x"}, format="json").status_code == 403
