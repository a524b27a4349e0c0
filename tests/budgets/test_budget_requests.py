"""Requests for more: asked once, decided once, and granted as they were asked or otherwise."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.db import connection

from budgets import actions, ledger, requests
from budgets.models import Budget, BudgetRequest, Window
from budgets.reserve import Shortage
from events.models import Event
from projects import actions as projects
from projects.errors import Conflict, Invalid
from projects.models import Project, User
from tests.budgets.conftest import Ask

MACHINE = uuid4()


@pytest.fixture
def budget(project: Project, alice: User) -> Budget:
    return actions.set_limit(project, "money", 1000, by=alice)


def limit(budget: Budget) -> int:
    return Window.objects.open().get(budget=budget).limit


class TestAsk:
    def test_nothing_changes_until_an_owner_grants_it(
        self, project: Project, budget: Budget, people: dict[str, User]
    ) -> None:
        made = requests.ask(project, "money", 500, by=people["bob"], reason="The tests take long.")
        assert (made.state, made.budget, limit(budget)) == ("pending", budget, 1000)
        told = Event.objects.get(kind="budget.requested")
        assert (told.actor, told.data["amount"]) == ("bob", 500)

    def test_a_machine_s_own_limit_comes_before_the_project_s(
        self, project: Project, budget: Budget, alice: User
    ) -> None:
        own = actions.set_limit(project, "money", 100, by=alice, machine_id=MACHINE, scope="Machine m1")
        assert requests.ask(project, "money", 5, by=None, machine_id=MACHINE).budget == own
        assert requests.ask(project, "money", 5, by=None, machine_id=uuid4()).budget == budget

    def test_a_machine_that_asks_again_changes_what_it_asked_for(
        self, project: Project, budget: Budget
    ) -> None:
        first = requests.ask(project, "money", 5, by=None, machine_id=MACHINE)
        again = requests.ask(project, "money", 7, by=None, machine_id=MACHINE, reason="More files.")
        assert again == first
        assert BudgetRequest.objects.get().amount == 7
        requests.ask(project, "money", 7, by=None, machine_id=MACHINE)
        assert Event.objects.filter(kind="budget.requested").count() == 2

    def test_what_a_person_asked_for_no_machine_changes(
        self, project: Project, budget: Budget, people: dict[str, User]
    ) -> None:
        asked = requests.ask(
            project, "money", 5, by=people["bob"], machine_id=MACHINE, reason="For the tests."
        )
        requests.ask(project, "money", 5_000_000, by=None, machine_id=MACHINE, reason="More!")
        asked.refresh_from_db()
        assert (asked.amount, asked.reason) == (5, "For the tests.")

    def test_what_was_denied_stays_so_and_may_be_asked_anew(
        self, project: Project, budget: Budget, alice: User
    ) -> None:
        first = requests.ask(project, "money", 5, by=None, machine_id=MACHINE)
        requests.deny(first, by=alice, answer="It loops.")
        assert requests.ask(project, "money", 5, by=None, machine_id=MACHINE) != first
        assert list(BudgetRequest.objects.values_list("state", flat=True)) == ["pending", "denied"]

    @pytest.mark.parametrize(
        ("resource", "amount"), [("gold", 1), ("money", 0), ("money", -1), ("money", 2**63)]
    )
    def test_it_refuses_what_is_no_request(
        self, project: Project, budget: Budget, alice: User, resource: str, amount: int
    ) -> None:
        with pytest.raises(Invalid):
            requests.ask(project, resource, amount, by=alice)

    def test_a_limit_that_is_not_there_cannot_be_raised(
        self, project: Project, budget: Budget, alice: User
    ) -> None:
        with pytest.raises(Conflict, match="no limit of calls per total"):
            requests.ask(project, "calls", 5, by=alice)


class TestShortage:
    def test_it_asks_for_enough_to_go_on_for_a_while(
        self, project: Project, budget: Budget, ask: Ask
    ) -> None:
        refused = ask(machine_id=MACHINE, input_tokens=2000)
        assert isinstance(refused, Shortage)
        made = requests.ask_for_shortage(
            actions.Payer(project.id, MACHINE), refused.needs, reason=refused.sentence
        )
        assert made is not None
        assert (made.amount, made.automatic, made.asked_by) == (
            2 * (refused.needs["money"] - 1000),
            True,
            None,
        )
        requests.grant(made, by=User.objects.get(username="alice"))
        assert not isinstance(ask(machine_id=MACHINE, input_tokens=2000), Shortage)

    def test_what_only_an_administrator_could_raise_is_not_asked_for(
        self, project: Project, budget: Budget, alice: User
    ) -> None:
        actions.change_limit(actions.Holder.of_system(), "money", 10, by=alice)
        payer = actions.Payer(project.id, MACHINE)
        assert requests.ask_for_shortage(payer, {"money": 500}, reason="") is None
        assert requests.ask_for_shortage(payer, {"money": 5}, reason="") is None


class TestGrant:
    def test_what_changed_since_it_was_looked_at_is_not_granted_unseen(
        self, project: Project, budget: Budget, alice: User
    ) -> None:
        seen = requests.ask(project, "money", 5, by=None, machine_id=MACHINE)
        requests.ask(project, "money", 700, by=None, machine_id=MACHINE)
        with pytest.raises(Conflict, match="another amount"):
            requests.grant(seen, by=alice, shown=5)
        assert limit(budget) == 1000
        requests.grant(seen, by=alice, shown=700)
        assert limit(budget) == 1700

    def test_the_limit_is_raised_by_what_was_asked_for(
        self, project: Project, budget: Budget, people: dict[str, User]
    ) -> None:
        made = requests.ask(project, "money", 500, by=people["bob"])
        assert requests.grant(made, by=people["alice"]).limit == 1500
        made.refresh_from_db()
        assert (made.state, made.granted, made.decided_by) == ("granted", 500, people["alice"])
        assert not ledger.verify()

    def test_or_by_another_amount(self, project: Project, budget: Budget, people: dict[str, User]) -> None:
        made = requests.ask(project, "money", 500, by=people["bob"])
        requests.grant(made, by=people["alice"], amount=200, answer="That must do.")
        made.refresh_from_db()
        assert (limit(budget), made.granted, made.amount) == (1200, 200, 500)

    def test_it_is_decided_once(self, project: Project, budget: Budget, people: dict[str, User]) -> None:
        made = requests.ask(project, "money", 500, by=people["bob"])
        requests.grant(made, by=people["alice"])
        for again in (requests.grant, requests.deny, requests.withdraw):
            with pytest.raises(Conflict, match="decided already"):
                again(made, by=people["alice"])
        assert limit(budget) == 1500

    def test_a_limit_that_was_lifted_meanwhile_leaves_it_pending(
        self, project: Project, budget: Budget, alice: User
    ) -> None:
        made = requests.ask(project, "money", 500, by=alice)
        actions.remove_limit(budget, by=alice)
        with pytest.raises(Conflict, match="has been lifted"):
            requests.grant(made, by=alice)
        assert BudgetRequest.objects.get().state == "pending"

    def test_nothing_cannot_be_granted(self, project: Project, budget: Budget, alice: User) -> None:
        made = requests.ask(project, "money", 500, by=alice)
        with pytest.raises(Invalid, match="or deny"):
            requests.grant(made, by=alice, amount=0)


class TestDeny:
    def test_the_limit_stays_and_the_answer_is_kept(
        self, project: Project, budget: Budget, people: dict[str, User]
    ) -> None:
        made = requests.ask(project, "money", 500, by=people["bob"])
        requests.deny(made, by=people["alice"], answer="Not this week.")
        made.refresh_from_db()
        assert (made.state, made.answer, limit(budget)) == ("denied", "Not this week.", 1000)


class TestWithdraw:
    def test_it_is_gone_for_those_who_decide(self, project: Project, budget: Budget, alice: User) -> None:
        made = requests.ask(project, "money", 500, by=alice)
        requests.withdraw(made, by=alice)
        with pytest.raises(Conflict):
            requests.grant(made, by=alice)


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    @pytest.fixture
    def shared(self) -> Project:
        alice = User.objects.create_user("alice")
        made = projects.create(slug="demo", by=alice)
        actions.set_limit(made, "money", 1000, by=alice)
        return made

    def test_a_machine_that_asks_twenty_times_has_one_request(self, shared: Project) -> None:
        def ask(amount: int) -> int:
            try:
                return requests.ask(shared, "money", amount, by=None, machine_id=MACHINE).pk
            finally:
                connection.close()

        with ThreadPoolExecutor(10) as threads:
            assert len(set(threads.map(ask, range(1, 21)))) == 1

    def test_of_those_who_grant_deny_and_ask_again_one_decides(self, shared: Project) -> None:
        alice = User.objects.get()
        made = requests.ask(shared, "money", 100, by=None, machine_id=MACHINE)

        def act(number: int) -> bool:
            try:
                if number % 3 == 2:
                    requests.ask(shared, "money", 100, by=None, machine_id=MACHINE)
                    return False
                decide = requests.grant if number % 3 else requests.deny
                decide(BudgetRequest.objects.get(pk=made.pk), by=alice)
                return True
            except Conflict:
                return False
            finally:
                connection.close()

        with ThreadPoolExecutor(12) as threads:
            assert sum(threads.map(act, range(24))) == 1
        made.refresh_from_db()
        assert made.state in ("granted", "denied")
        assert Window.objects.open().get().limit == (1100 if made.state == "granted" else 1000)
