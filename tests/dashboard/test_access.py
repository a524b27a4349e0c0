"""Every page × everybody: 404 for outsiders, 403 for members without the right, the sign-in page for strangers."""

import pytest
from django.test import Client

from budgets.models import Budget, BudgetRequest, Transfer
from checkpoints.models import Checkpoint
from dashboard import urls
from machines.models import Machine
from operations.models import Operation, Status
from projects.models import Project
from tests.dashboard.conftest import Browser

# name of the route → (method, alice owns, bob looks, charlie is outside)
EXPECTED = {
    "fleet": ("get", 200, 200, 200),
    "spawn": ("get", 200, 200, 200),
    "prediction": ("post", 404, 404, 404),  # its project is in what is sent; see test_prediction.py
    "machine": ("get", 200, 200, 404),
    "console": ("get", 200, 403, 404),
    "moment": ("get", 200, 200, 404),
    "log_lines": ("get", 200, 200, 404),
    "log_file": ("get", 200, 200, 404),
    "rollback": ("get", 200, 403, 404),
    "verb": ("get", 200, 403, 404),
    "trees": ("get", 302, 302, 200),  # to the only project's
    "tree": ("get", 200, 200, 404),
    "checkpoint": ("get", 200, 200, 404),
    "branch": ("get", 200, 403, 404),
    "compare": ("get", 200, 200, 404),
    "mark": ("post", 302, 403, 404),
    "verify": ("get", 200, 403, 404),
    "export": ("post", 302, 403, 404),
    "restore_file": ("get", 200, 403, 404),
    "rules": ("get", 200, 200, 404),
    "rules_policy": ("post", 302, 403, 404),
    "rules_retention": ("post", 302, 403, 404),
    "prune": ("get", 200, 403, 404),
    "give_up": ("post", 302, 403, 404),
    "budgets": ("get", 200, 200, 200),
    "limit_new": ("get", 200, 403, 404),
    "limit": ("get", 200, 403, 404),
    "limit_preview": ("get", 200, 403, 404),
    "limit_raise": ("post", 302, 403, 404),
    "limit_lift": ("get", 200, 403, 404),
    "budget": ("get", 200, 200, 404),
    "budget_history": ("get", 200, 200, 404),
    "ask": ("get", 200, 403, 404),
    "transfer": ("get", 200, 403, 404),
    "request": ("post", 400, 403, 404),  # it does not say which button
    "transfer_decide": ("post", 400, 400, 404),
    "breaker_close": ("post", 302, 403, 404),
    "ledger": ("get", 200, 200, 404),
    "ledger_csv": ("get", 200, 200, 404),
    "prices": ("get", 200, 200, 200),
    "api": ("get", 200, 200, 200),
    "settings": ("get", 403, 403, 403),
    "stray": ("post", 403, 403, 403),
}


def address(name: str, machine: Machine, checkpoint: Checkpoint) -> str:
    return {
        "fleet": "/",
        "spawn": "/machines/new/",
        "prediction": "/machines/new/prediction/",
        "machine": f"/machines/{machine.handle}/",
        "console": f"/machines/{machine.handle}/console/",
        "moment": f"/machines/{machine.handle}/moment/?at=1",
        "log_lines": f"/machines/{machine.handle}/log.json",
        "log_file": f"/machines/{machine.handle}/log.txt",
        "rollback": f"/machines/{machine.handle}/rollback/?to={checkpoint.handle}",
        "verb": f"/machines/{machine.handle}/terminate/",
        "trees": "/checkpoints/",
        "tree": "/p/demo/checkpoints/",
        "checkpoint": f"/checkpoints/{checkpoint.handle}/",
        "branch": f"/checkpoints/{checkpoint.handle}/branch/",
        "compare": f"/checkpoints/{checkpoint.handle}/compare/?with={checkpoint.handle}",
        "mark": f"/checkpoints/{checkpoint.handle}/mark/",
        "verify": f"/checkpoints/{checkpoint.handle}/verify/",
        "export": f"/checkpoints/{checkpoint.handle}/export/",
        "restore_file": f"/checkpoints/{checkpoint.handle}/restore-file/?path=hello.py",
        "rules": "/p/demo/checkpoints/rules/",
        "rules_policy": "/p/demo/checkpoints/rules/policy/",
        "rules_retention": "/p/demo/checkpoints/rules/retention/",
        "prune": "/p/demo/checkpoints/rules/prune/",
        "give_up": f"/operations/{_waiting(machine).id}/give-up/",
        "budgets": "/budgets/",
        "limit_new": "/budgets/limits/new/?project=demo",
        "limit": f"/budgets/limits/{_limit(machine)}/",
        "limit_preview": f"/budgets/limits/{_limit(machine)}/preview/?amount=1",
        "limit_raise": f"/budgets/limits/{_limit(machine)}/raise/",
        "limit_lift": f"/budgets/limits/{_limit(machine)}/lift/",
        "budget": "/p/demo/budget/",
        "budget_history": "/p/demo/budget/history/",
        "ask": "/p/demo/budget/ask/",
        "transfer": "/p/demo/budget/transfer/",
        "request": f"/budgets/requests/{_request(machine)}/",
        "transfer_decide": f"/budgets/transfers/{_transfer(machine)}/",
        "breaker_close": "/p/demo/breaker/close/",
        "ledger": "/p/demo/ledger/",
        "ledger_csv": "/p/demo/ledger.csv",
        "prices": "/prices/",
        "api": "/api/",
        "settings": "/settings/",
        "stray": "/settings/strays/77001/",
    }[name]


def _limit(machine: Machine) -> int:
    """The limit of its project's money."""
    return Budget.objects.get(project=machine.project, resource="money").pk


def _request(machine: Machine) -> int:
    """Somebody asks for more money."""
    budget = Budget.objects.get(pk=_limit(machine))
    return BudgetRequest.objects.create(project=machine.project, budget=budget, amount=1).pk


def _transfer(machine: Machine) -> int:
    """Another project offers some."""
    other = Project.objects.create(slug="other")
    return Transfer.objects.create(
        giver=other, taker=machine.project, resource="money", amount=1, proposed_for=other
    ).pk


def _waiting(machine: Machine) -> Operation:
    """An operation that waits for an operator."""
    return Operation.objects.create(
        verb="pause",
        subject=machine.subject,
        project=machine.project,
        lock=machine.guest.subject,
        task="machines.tasks.pause",
        status=Status.NEEDS_OPERATOR,
    )


def test_no_route_is_forgotten() -> None:
    assert {route.name for route in urls.urlpatterns} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
class TestEveryPage:
    def test_it_opens_to_whom_it_may(
        self, name: str, browser: Browser, machine: Machine, checkpoint: Checkpoint
    ) -> None:
        where = address(name, machine, checkpoint)

        method = EXPECTED[name][0]
        codes = [getattr(browser(who), method)(where).status_code for who in ("alice", "bob", "charlie")]

        assert codes == list(EXPECTED[name][1:])

    def test_it_sends_strangers_to_sign_in(
        self, name: str, browser: Browser, machine: Machine, checkpoint: Checkpoint
    ) -> None:
        response = getattr(browser(""), EXPECTED[name][0])(address(name, machine, checkpoint))

        assert response.status_code == 302
        assert response["Location"].startswith("/sign-in/?next=/")

    def test_a_fragment_that_asks_for_a_stranger_is_not_given_the_sign_in_page(
        self, name: str, browser: Browser, machine: Machine, checkpoint: Checkpoint
    ) -> None:
        ask = getattr(browser(""), EXPECTED[name][0])
        response = ask(address(name, machine, checkpoint), headers={"HX-Request": "true"})

        assert response.status_code == 401
        assert not response.content


class TestVerbs:
    @pytest.mark.parametrize("verb", ["checkpoint", "pause", "terminate"])
    def test_they_are_for_operators_only(self, verb: str, browser: Browser, machine: Machine) -> None:
        codes = [
            browser(who).post(f"/machines/{machine.handle}/{verb}/").status_code for who in ("bob", "charlie")
        ]

        machine.refresh_from_db()
        assert codes == [403, 404]
        assert machine.state == "running"

    def test_a_viewer_is_offered_none(self, browser: Browser, machine: Machine) -> None:
        page = browser("bob").get(f"/machines/{machine.handle}/").content.decode()

        assert "Terminate" not in page
        assert "Branch" not in page
        assert "Roll back" not in page


class TestForms:
    def test_they_refuse_a_post_without_its_token(self, machine: Machine, people: dict) -> None:
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(people["alice"])

        response = strict.post(f"/machines/{machine.handle}/pause/")

        assert response.status_code == 403
        assert "too old" in response.content.decode()
