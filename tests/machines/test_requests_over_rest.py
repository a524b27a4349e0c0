"""Requests for more of a budget over REST: operators ask, owners decide, viewers look, outsiders see nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from budgets import actions as budgets
from budgets import requests
from budgets.models import BudgetRequest, Window
from machines.limits.payer import holder_of
from machines.models import Machine
from projects import actions as projects
from projects.models import Project, User
from projects.roles import Role

Api = Callable[[str], APIClient]
ASK = {"project": "demo", "resource": "money", "amount": 500, "reason": "The tests take long."}


@pytest.fixture
def operator(funded: Project, people: dict[str, User], api: Api) -> APIClient:
    """Bob."""
    projects.admit(funded, people["bob"], Role.OPERATOR, by=people["alice"])
    return api("bob")


def sent(answer: Any, status: int = 200) -> Any:
    assert answer.status_code == status, answer.content
    return answer.json()


def asked(client: APIClient, **changes: object) -> Any:
    return sent(client.post("/api/v1/budget-requests/", {**ASK, **changes}), 201)


class TestAsk:
    def test_an_operator_asks_for_the_project(self, operator: APIClient) -> None:
        made = asked(operator)
        assert (made["state"], made["scope"], made["asked_by"], made["machine"]) == (
            "pending", "Project demo", "bob", None,
        )  # fmt: skip

    def test_or_for_a_machine_of_it(self, operator: APIClient, machine: Machine, alice: User) -> None:
        budgets.change_limit(holder_of(machine), "calls", 5, by=alice)
        made = asked(operator, machine=machine.handle, resource="calls", amount=7)
        assert (made["scope"], made["machine"]) == (f"Machine {machine.handle}", machine.handle)

    @pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404)])
    def test_viewers_may_not_and_outsiders_find_nothing(
        self, funded: Project, machine: Machine, api: Api, who: str, status: int
    ) -> None:
        assert api(who).post("/api/v1/budget-requests/", ASK).status_code == status
        for_machine = {**ASK, "machine": machine.handle}
        assert api(who).post("/api/v1/budget-requests/", for_machine).status_code == status

    def test_it_has_to_be_for_somebody_and_for_something(self, operator: APIClient) -> None:
        for wrong in ({"project": ""}, {"amount": 0}, {"resource": "gold"}, {"period": "year"}):
            assert operator.post("/api/v1/budget-requests/", {**ASK, **wrong}).status_code == 400
        assert operator.post("/api/v1/budget-requests/", {**ASK, "resource": "calls"}).status_code == 409


class TestDecide:
    def test_an_owner_grants_it(self, operator: APIClient, api: Api) -> None:
        made = asked(operator)
        done = sent(api("alice").post(f"/api/v1/budget-requests/{made['id']}/grant/"))
        assert (done["state"], done["granted"], done["decided_by"]) == ("granted", 500, "alice")
        assert Window.objects.open().get().limit == 10_000_500

    def test_or_another_amount(self, operator: APIClient, api: Api) -> None:
        made = asked(operator)
        path = f"/api/v1/budget-requests/{made['id']}/grant/"
        assert sent(api("alice").post(path, {"amount": 200, "answer": "That must do."}))["granted"] == 200
        assert api("alice").post(path).status_code == 409

    def test_or_denies_it_with_a_sentence(self, operator: APIClient, api: Api) -> None:
        made = asked(operator)
        path = f"/api/v1/budget-requests/{made['id']}/deny/"
        assert sent(api("alice").post(path, {"answer": "Not now."}))["answer"] == "Not now."
        assert sent(operator.get(f"/api/v1/budget-requests/{made['id']}/"))["state"] == "denied"

    @pytest.mark.parametrize("verb", ["grant", "deny"])
    def test_nobody_else_decides(self, operator: APIClient, api: Api, verb: str) -> None:
        path = f"/api/v1/budget-requests/{asked(operator)['id']}/{verb}/"
        assert operator.post(path).status_code == 403
        assert api("charlie").post(path).status_code == 404


class TestWithdraw:
    def test_who_asked_takes_it_back(self, operator: APIClient) -> None:
        path = f"/api/v1/budget-requests/{asked(operator)['id']}/withdraw/"
        assert sent(operator.post(path))["state"] == "withdrawn"

    def test_nobody_else_but_an_owner(self, operator: APIClient, funded: Project, alice: User) -> None:
        theirs = requests.ask(funded, "money", 5, by=alice)
        assert operator.post(f"/api/v1/budget-requests/{theirs.pk}/withdraw/").status_code == 403


class TestList:
    def test_it_is_of_what_one_may_see(self, operator: APIClient, machine: Machine, api: Api) -> None:
        asked(operator)
        asked(operator, machine=machine.handle)
        newest, _ = sent(api("alice").get("/api/v1/budget-requests/?project=demo&state=pending"))["results"]
        assert (newest["machine"], newest["reason"]) == (machine.handle, "The tests take long.")
        assert not sent(api("charlie").get("/api/v1/budget-requests/"))["results"]
        assert api("charlie").get(f"/api/v1/budget-requests/{newest['id']}/").status_code == 404

    def test_it_takes_as_many_queries_for_many(
        self, operator: APIClient, machine: Machine, django_assert_max_num_queries: Any
    ) -> None:
        for _ in range(10):
            asked(operator)
        asked(operator, machine=machine.handle)
        with django_assert_max_num_queries(6):
            assert len(sent(operator.get("/api/v1/budget-requests/"))["results"]) == 11
        assert BudgetRequest.objects.count() == 11
