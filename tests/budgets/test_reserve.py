"""Holds: how much is granted, and how it is refused."""

from uuid import uuid4

import pytest

from budgets import actions
from budgets.models import Reservation, Window
from budgets.prices import Price, Usage
from budgets.reserve import Grant, Shortage
from budgets.resources import Payer
from events.models import Event
from projects.models import Project, User
from tests.budgets.conftest import Ask, balance, window


class TestReserve:
    def test_it_grants_what_is_wanted_when_there_is_enough(
        self, project: Project, alice: User, ask: Ask
    ) -> None:
        budget = actions.set_limit(project, "money", 1000, by=alice)
        grant = ask()
        assert isinstance(grant, Grant)
        assert grant.units == 50
        assert (balance(budget), window(budget).left) == ((200, 0, 0), 800)

    def test_it_cuts_the_answer_to_what_is_left(self, project: Project, alice: User, ask: Ask) -> None:
        budget = actions.set_limit(project, "money", 161, by=alice)
        grant = ask()
        assert isinstance(grant, Grant)
        assert grant.units == 30
        assert window(budget).reserved == 160

    def test_it_holds_on_every_budget_that_applies(self, project: Project, alice: User, ask: Ask) -> None:
        mine, other = uuid4(), uuid4()
        actions.set_limit(project, "money", 1000, by=alice)
        actions.set_limit(project, "tokens", 120, by=alice)
        actions.set_limit(project, "calls", 5, by=alice, machine_id=mine, scope="Machine m1")
        actions.set_limit(project, "money", 1000, by=alice, machine_id=other, scope="Machine m2")
        grant = ask(machine_id=mine)
        assert isinstance(grant, Grant)
        assert grant.units == 20
        assert list(Window.objects.values_list("reserved", flat=True)) == [140, 120, 1, 0]

    def test_it_holds_nothing_anywhere_when_one_budget_refuses(
        self, project: Project, alice: User, ask: Ask
    ) -> None:
        actions.set_limit(project, "money", 1000, by=alice)
        actions.set_limit(project, "calls", 0, by=alice)
        assert isinstance(ask(), Shortage)
        assert set(Window.objects.values_list("reserved", flat=True)) == {0}
        assert not Reservation.objects.exists()

    @pytest.mark.parametrize("holder", [actions.Holder.of_system(), actions.Holder.of_hub("primary")])
    def test_a_limit_for_all_gives_nobody_money_of_its_own(
        self, project: Project, alice: User, price: Price, holder: actions.Holder
    ) -> None:
        payer = Payer(project.id, hub="primary")

        def ask(key: str) -> Grant | Shortage:
            return actions.reserve_call(
                key, payer=payer, price=price, input_tokens=100, output_tokens=50, seconds=60
            )

        actions.change_limit(holder, "money", 10**6, by=alice)
        refused = ask("before")
        assert isinstance(refused, Shortage)
        assert "has no budget for money" in refused.sentence
        assert not actions.has_room(payer)
        actions.set_limit(project, "money", 10**6, by=alice)
        assert isinstance(ask("after"), Grant)
        assert actions.has_room(payer)
        assert set(Window.objects.values_list("reserved", flat=True)) == {200}

    def test_it_refuses_rather_than_grant_less_than_the_minimum(
        self, project: Project, alice: User, ask: Ask
    ) -> None:
        actions.set_limit(project, "money", 161, by=alice)
        assert isinstance(ask(minimum_output_tokens=31), Shortage)
        assert isinstance(ask(minimum_output_tokens=30), Grant)

    def test_it_returns_the_first_grant_for_the_same_key(
        self, project: Project, alice: User, ask: Ask
    ) -> None:
        budget = actions.set_limit(project, "money", 250, by=alice)
        assert ask("once") == ask("once")
        assert window(budget).reserved == 200

    def test_it_copes_with_amounts_whose_products_pass_bigint(
        self, project: Project, alice: User, ask: Ask
    ) -> None:
        actions.set_limit(project, "money", 2**62, by=alice)
        grant = ask(input_tokens=10**9, output_tokens=10**9)
        assert isinstance(grant, Grant)
        assert Reservation.objects.get().held["money"] == 3 * 10**9


class TestRefusing:
    def test_it_says_what_is_left_what_is_needed_and_what_to_do(
        self, project: Project, alice: User, ask: Ask
    ) -> None:
        actions.set_limit(project, "money", 50, by=alice)
        shortage = ask()
        assert isinstance(shortage, Shortage)
        assert (shortage.passing, shortage.needs["money"]) == (False, 102)
        assert shortage.sentence == (
            "Project demo has 0.00005 USD of its 0.00005 USD left; "
            "even a short answer to this call may cost 0.000102 USD. "
            "Raise the limit with `bin/autovibe budget set demo money 1`."
        )

    def test_it_names_the_machine_whose_limit_it_is(self, project: Project, alice: User, ask: Ask) -> None:
        machine_id = uuid4()
        actions.set_limit(project, "money", 10**6, by=alice)
        actions.set_limit(project, "calls", 0, by=alice, machine_id=machine_id, scope="Machine m12")
        shortage = ask(machine_id=machine_id)
        assert isinstance(shortage, Shortage)
        assert shortage.sentence == (
            "Machine m12 has 0 calls of its 0 calls left; even a short answer to this call may cost 1 call. "
            "Raise the limit with `bin/autovibe budget set demo calls 2 --machine m12`."
        )

    def test_it_refuses_a_project_without_a_money_budget(
        self, project: Project, alice: User, ask: Ask
    ) -> None:
        actions.set_limit(project, "calls", 10, by=alice)
        shortage = ask()
        assert isinstance(shortage, Shortage)
        assert "no budget for money" in shortage.sentence

    def test_it_tells_apart_what_is_only_held_by_calls_under_way(
        self, project: Project, alice: User, ask: Ask
    ) -> None:
        actions.set_limit(project, "money", 250, by=alice)
        ask()
        shortage = ask()
        assert isinstance(shortage, Shortage)
        assert shortage.passing
        assert "calls under way hold 0.0002 USD" in shortage.sentence
        assert Window.objects.get().exhausted_at is None

    def test_it_records_once_that_a_budget_is_exhausted(
        self, project: Project, alice: User, ask: Ask
    ) -> None:
        actions.set_limit(project, "money", 50, by=alice)
        ask()
        ask()
        assert Event.objects.filter(kind="budget.exhausted").count() == 1
        actions.set_limit(project, "money", 60, by=alice)
        ask()
        assert Event.objects.filter(kind="budget.exhausted").count() == 2


class TestHasRoom:
    """A machine could make a call: there is money, and no budget has less left than a small call needs."""

    CENT = 10_000

    def test_a_project_without_money_has_none(self, project: Project, alice: User) -> None:
        assert not actions.has_room(Payer(project.id))
        actions.set_limit(project, "calls", 10, by=alice)
        assert not actions.has_room(Payer(project.id))

    @pytest.mark.parametrize(("resource", "least"), [("money", CENT), ("tokens", 5120), ("calls", 1)])
    def test_every_budget_needs_as_much_as_a_small_call(
        self, project: Project, alice: User, resource: str, least: int
    ) -> None:
        actions.set_limit(project, "money", 10 * self.CENT, by=alice)
        actions.set_limit(project, resource, least - 1, by=alice)
        assert not actions.has_room(Payer(project.id))
        actions.set_limit(project, resource, least, by=alice)
        assert actions.has_room(Payer(project.id))

    def test_money_that_calls_under_way_hold_may_come_back(
        self, project: Project, alice: User, ask: Ask
    ) -> None:
        actions.set_limit(project, "money", self.CENT, by=alice)
        assert isinstance(ask(output_tokens=10**6), Grant)
        assert actions.left(Payer(project.id)) == 0
        assert actions.has_room(Payer(project.id))

    def test_a_machines_own_limit_counts_for_that_machine_alone(self, project: Project, alice: User) -> None:
        machine_id = uuid4()
        actions.set_limit(project, "money", 10 * self.CENT, by=alice)
        actions.set_limit(project, "calls", 0, by=alice, machine_id=machine_id, scope="Machine m12")
        assert actions.has_room(Payer(project.id))
        assert not actions.has_room(Payer(project.id, machine_id))

    def test_an_oversized_call_takes_none(self, project: Project, alice: User, ask: Ask) -> None:
        actions.set_limit(project, "money", 2_000_000, by=alice)
        shortage = ask(input_tokens=10**7)
        assert isinstance(shortage, Shortage)
        assert not shortage.passing
        assert shortage.sentence == (
            "Project demo has 2.00 USD of its 2.00 USD left, enough for other calls; "
            "even a short answer to this call may cost 10.000002 USD. "
            "Raise the limit with `bin/autovibe budget set demo money 21`."
        )
        assert Window.objects.get().exhausted_at is None
        assert not Event.objects.filter(kind="budget.exhausted").exists()
        assert actions.has_room(Payer(project.id))


class TestLeft:
    def test_it_is_what_the_tightest_budget_has(self, project: Project, alice: User, price: Price) -> None:
        machine_id = uuid4()
        assert actions.left(Payer(project.id)) is None
        actions.set_limit(project, "money", 500, by=alice)
        actions.set_limit(project, "money", 100, by=alice, machine_id=machine_id, scope="Machine m1")
        assert actions.left(Payer(project.id)) == 500
        assert actions.left(Payer(project.id, machine_id)) == 100
        assert price.cost_micros(Usage(output_tokens=1)) == 2
