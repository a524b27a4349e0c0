"""Asking for more, and transfers, on the budget page: one click for owners, nothing for the rest."""

import pytest

from budgets import requests, transfers
from budgets.models import Budget, BudgetRequest, Transfer
from checkpoints.models import Checkpoint
from projects import actions as projects
from projects.models import Project, User
from projects.roles import Role
from tests.dashboard import rows
from tests.dashboard.conftest import Browser

PAGE = "/p/demo/budget/"


@pytest.fixture
def budget(project: Project) -> Budget:
    return rows.budget(project, 20_000_000)


@pytest.fixture
def operator(project: Project, people: dict[str, User], alice: User) -> User:
    projects.admit(project, people["charlie"], Role.OPERATOR, by=alice)
    return people["charlie"]


@pytest.fixture
def shop(people: dict[str, User]) -> Project:
    """Bob owns it, who only looks at demo."""
    return projects.create(slug="shop", by=people["bob"])


class TestAsking:
    def test_an_operator_asks_and_an_owner_grants_in_one_click(
        self, browser: Browser, budget: Budget, operator: User
    ) -> None:
        asked = {"budget": budget.pk, "amount": "2.50", "note": "The tests take longer"}
        browser("charlie").post(f"{PAGE}ask/", asked)
        page = browser("alice").get(PAGE).content.decode()
        browser("alice").post(f"/budgets/requests/{BudgetRequest.objects.get().pk}/", {"do": "grant"})

        budget.refresh_from_db()
        assert "The tests take longer" in page
        assert "Nothing waits for an answer." in browser("alice").get(PAGE).content.decode()
        assert budget.limit == 22_500_000

    def test_an_owner_may_grant_another_amount_or_deny(
        self, browser: Browser, budget: Budget, operator: User
    ) -> None:
        first, second = (requests.ask_for(budget, 9_000_000, by=operator) for _ in range(2))

        browser("alice").post(f"/budgets/requests/{first.pk}/", {"do": "grant", "amount": "1"})
        browser("alice").post(f"/budgets/requests/{second.pk}/", {"do": "deny"})

        budget.refresh_from_db()
        assert budget.limit == 21_000_000
        assert set(BudgetRequest.objects.values_list("state", flat=True)) == {"granted", "denied"}

    def test_a_second_click_grants_nothing_more(
        self, browser: Browser, budget: Budget, operator: User
    ) -> None:
        found = requests.ask_for(budget, 1_000_000, by=operator)

        for _ in range(2):
            browser("alice").post(f"/budgets/requests/{found.pk}/", {"do": "grant"})

        budget.refresh_from_db()
        assert budget.limit == 21_000_000

    def test_a_machine_that_asks_is_named_with_its_reason(
        self, browser: Browser, budget: Budget, project: Project, genesis: Checkpoint
    ) -> None:
        machine = rows.machine(project, genesis)
        requests.ask_for(budget, 1_000_000, by=None, machine_id=machine.id, reason="It was refused.")

        page = browser("alice").get(PAGE).content.decode()

        assert f'<a href="/machines/{machine.handle}/">{machine.handle}</a></strong> asks for' in page
        assert "It was refused." in page

    def test_who_asked_may_take_it_back_but_grants_nothing(
        self, browser: Browser, budget: Budget, operator: User
    ) -> None:
        found = requests.ask_for(budget, 1_000_000, by=operator)
        refused = browser("charlie").post(f"/budgets/requests/{found.pk}/", {"do": "grant"})
        browser("charlie").post(f"/budgets/requests/{found.pk}/", {"do": "withdraw"})

        found.refresh_from_db()
        assert refused.status_code == 403
        assert found.state == "withdrawn"

    @pytest.mark.parametrize("amount", ["", "lots", "0"])
    def test_what_is_wrong_is_said(
        self, browser: Browser, budget: Budget, operator: User, amount: str
    ) -> None:
        answer = browser("charlie").post(f"{PAGE}ask/", {"budget": budget.pk, "amount": amount})

        assert answer.status_code == 422
        assert 'role="alert"' in answer.content.decode()
        assert not BudgetRequest.objects.exists()

    @pytest.mark.parametrize("sent", [{}, {"do": "grnat"}])
    def test_an_unknown_button_decides_nothing(
        self, browser: Browser, budget: Budget, operator: User, sent: dict[str, str]
    ) -> None:
        found = requests.ask_for(budget, 1_000_000, by=operator)

        answer = browser("alice").post(f"/budgets/requests/{found.pk}/", sent)

        found.refresh_from_db()
        assert (answer.status_code, found.state) == (400, "pending")


class TestTransfers:
    def propose(self, browser: Browser, **also: str) -> int:
        sent = {"direction": "give", "other": "shop", "resource_name": "money", "period_name": "total"}
        return browser("alice").post(f"{PAGE}transfer/", sent | {"amount": "5"} | also).status_code

    def test_one_side_offers_and_the_other_accepts(
        self, browser: Browser, budget: Budget, shop: Project, people: dict[str, User], alice: User
    ) -> None:
        theirs = rows.budget(shop, 1_000_000)
        projects.admit(shop, alice, Role.VIEWER, by=people["bob"])
        assert self.propose(browser) == 302
        found = Transfer.objects.get()
        offered = browser("bob").get("/p/shop/budget/").content.decode()
        mine = browser("alice").get(PAGE).content.decode()
        browser("bob").post(f"/budgets/transfers/{found.pk}/", {"do": "accept"})

        budget.refresh_from_db()
        theirs.refresh_from_db()
        assert "Accept" in offered
        assert "Withdraw" in mine
        assert "Accept<" not in mine
        assert (budget.limit, theirs.limit) == (15_000_000, 6_000_000)

    @pytest.mark.parametrize("sent", [{}, {"do": "acept"}])
    def test_an_unknown_button_settles_nothing(
        self, browser: Browser, budget: Budget, shop: Project, alice: User, sent: dict[str, str]
    ) -> None:
        rows.budget(shop, 1_000_000)
        found = transfers.propose(budget.project, shop, "money", 5, by=alice)

        answer = browser("bob").post(f"/budgets/transfers/{found.pk}/", sent)

        found.refresh_from_db()
        assert (answer.status_code, found.state) == (400, "pending")

    def test_the_side_that_offered_cannot_accept_for_the_other(
        self, browser: Browser, budget: Budget, shop: Project, alice: User
    ) -> None:
        rows.budget(shop, 1_000_000)
        found = transfers.propose(budget.project, shop, "money", 5, by=alice)

        answer = browser("alice").post(f"/budgets/transfers/{found.pk}/", {"do": "accept"})

        budget.refresh_from_db()
        assert answer.status_code == 403
        assert budget.limit == 20_000_000

    def test_a_project_that_one_does_not_see_cannot_be_named(
        self, browser: Browser, budget: Budget, shop: Project
    ) -> None:
        assert self.propose(browser) == 422
        assert "shop" not in browser("alice").get(f"{PAGE}transfer/").content.decode()
        assert not Transfer.objects.exists()

    def test_what_is_wrong_is_said(
        self, browser: Browser, budget: Budget, shop: Project, people: dict[str, User], alice: User
    ) -> None:
        projects.admit(shop, alice, Role.VIEWER, by=people["bob"])

        assert self.propose(browser, amount="five") == 422
        assert not Transfer.objects.exists()
