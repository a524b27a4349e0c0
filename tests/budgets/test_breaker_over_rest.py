"""The circuit breaker and the invariant over REST: who may see them, and who may change what."""

from datetime import timedelta

import pytest
from django.utils import timezone

from budgets import actions, breaker
from budgets.models import Breaker, LedgerEntry
from projects.models import Project, User
from tests.budgets.rows import entry

BREAKER, INVARIANT = "/api/v1/projects/demo/breaker/", "/api/v1/resources/invariant/"


@pytest.fixture
def opened(project: Project) -> Breaker:
    until = timezone.now() + timedelta(minutes=10)
    return Breaker.objects.create(project=project, state="open", until=until, sentence="Too fast.")


class TestShow:
    def test_a_project_that_never_tripped_has_the_usual_settings(self, api, project: Project) -> None:
        found = api("bob").get(BREAKER).json()
        assert (found["state"], found["enabled"], found["factor"]) == ("closed", True, 4.0)
        assert (found["rate"], found["normal"], found["most"]) == (0, None, None)

    def test_it_says_how_fast_the_project_spends(self, api, project: Project) -> None:
        Project.objects.update(created_at=timezone.now() - timedelta(days=1))
        now = timezone.now() - timedelta(seconds=30)
        LedgerEntry.objects.bulk_create([entry(project, now, 5_000_000)])
        assert api("bob").get(BREAKER).json()["rate"] == 1_000_000

    def test_an_open_one_says_why_and_until_when(self, api, opened: Breaker) -> None:
        found = api("bob").get(BREAKER).json()
        assert (found["state"], found["sentence"]) == ("open", "Too fast.")
        assert found["until"]

    def test_outsiders_do_not_see_it(self, api, opened: Breaker) -> None:
        assert api("charlie").get(BREAKER).status_code == 404


class TestChange:
    @pytest.mark.parametrize(("who", "status"), [("alice", 200), ("bob", 403), ("charlie", 404)])
    def test_who_may(self, api, opened: Breaker, who: str, status: int) -> None:
        assert api(who).put(BREAKER, {"factor": 6}, format="json").status_code == status
        assert api(who).post(f"{BREAKER}close/").status_code == status

    def test_what_is_left_out_stays(self, api, project: Project) -> None:
        api("alice").put(BREAKER, {"factor": 6}, format="json")
        found = api("alice").put(BREAKER, {"enabled": False}, format="json").json()
        assert (found["factor"], found["enabled"]) == (6.0, False)

    def test_a_factor_that_is_none_is_refused_with_a_sentence(self, api, project: Project) -> None:
        answer = api("alice").put(BREAKER, {"factor": 1}, format="json")
        assert answer.status_code == 400
        assert "how many times the normal rate" in answer.json()["detail"]

    def test_closing_lets_calls_through_again(self, api, opened: Breaker, project: Project) -> None:
        assert breaker.refusal(project.id) == "Too fast."
        assert api("alice").post(f"{BREAKER}close/").json()["state"] == "closed"
        assert breaker.refusal(project.id) == ""

    def test_one_that_is_closed_cannot_be_closed(self, api, project: Project) -> None:
        assert api("alice").post(f"{BREAKER}close/").status_code == 409


class TestInvariant:
    def test_staff_see_that_nothing_is_overdrawn(
        self, api, project: Project, alice: User, people: dict[str, User]
    ) -> None:
        actions.set_limit(project, "money", 1000, by=alice)
        people["alice"].is_staff = True
        found = api("alice").get(INVARIANT).json()
        assert found == {
            "violations": 0,
            "windows": 1,
            "totals": [{"resource": "money", "limit": 1000, "reserved": 0, "spent": 0, "overrun": 0}],
        }

    def test_nobody_else_does(self, api, project: Project) -> None:
        assert api("alice").get(INVARIANT).status_code == 403
