"""Machines that wait for budget ask for it by themselves, once; and no longer when they go on or end."""

from datetime import timedelta

import pytest
from django.utils import timezone

from budgets import actions as budgets
from budgets import requests
from budgets.models import BudgetRequest, Window
from machines.limits import asking, funding
from machines.models import Machine
from machines.states import State
from projects.models import Project, User

NEEDS = {"money": 400_000, "calls": 1}


@pytest.fixture
def waiting(machine: Machine, funded: Project, alice: User) -> Machine:
    """It was refused a call: nothing is left."""
    budgets.set_limit(funded, "money", 0, by=alice)
    Machine.objects.filter(pk=machine.pk).update(
        state=State.PAUSED,
        paused_for=Machine.PausedFor.BUDGET,
        paused_at=timezone.now() - timedelta(minutes=1),
        sentence="Nothing is left.",
        awaiting=NEEDS,
    )
    machine.refresh_from_db()
    return machine


def request() -> BudgetRequest:
    return BudgetRequest.objects.get()


class TestAsk:
    def test_a_paused_machine_asks_for_what_it_needs_and_says_why(self, waiting: Machine) -> None:
        asking.mind()
        asked = request()
        assert (asked.machine_id, asked.amount, asked.reason) == (waiting.id, 800_000, "Nothing is left.")
        assert asked.automatic

    def test_it_asks_once(self, waiting: Machine) -> None:
        for _ in range(3):
            asking.mind()
        assert BudgetRequest.objects.count() == 1

    def test_who_said_no_is_not_asked_again(self, waiting: Machine, alice: User) -> None:
        asking.mind()
        requests.deny(request(), by=alice)
        asking.mind()
        assert request().state == "denied"

    def test_paused_again_it_asks_again(self, waiting: Machine, alice: User) -> None:
        asking.mind()
        requests.deny(request(), by=alice)
        Machine.objects.filter(pk=waiting.pk).update(paused_at=timezone.now())
        asking.mind()
        assert BudgetRequest.objects.count() == 2

    def test_one_that_a_person_paused_asks_for_nothing(self, waiting: Machine) -> None:
        Machine.objects.filter(pk=waiting.pk).update(paused_for=Machine.PausedFor.PERSON)
        asking.mind()
        assert not BudgetRequest.objects.exists()

    def test_granted_it_goes_on_by_itself(self, waiting: Machine, alice: User) -> None:
        asking.mind()
        assert funding.resume_funded() == 0
        requests.grant(request(), by=alice)
        assert funding.resume_funded() == 1
        waiting.refresh_from_db()
        assert waiting.state == State.RESUMING
        asking.mind()
        assert request().state == "granted"


class TestTakeBack:
    def test_it_is_withdrawn_when_the_machine_goes_on_otherwise(
        self, waiting: Machine, funded: Project, alice: User
    ) -> None:
        asking.mind()
        budgets.set_limit(funded, "money", 5_000_000, by=alice)
        assert funding.resume_funded() == 1
        asking.mind()
        assert (request().state, request().decided_by) == ("withdrawn", None)

    def test_it_is_withdrawn_when_the_machine_ends(self, waiting: Machine) -> None:
        asking.mind()
        Machine.objects.filter(pk=waiting.pk).update(state=State.TERMINATED)
        asking.mind()
        assert request().state == "withdrawn"

    def test_what_a_running_machine_asked_for_itself_stays(self, machine: Machine, funded: Project) -> None:
        requests.ask(funded, "money", 1000, by=None, machine_id=machine.id)
        asking.mind()
        assert request().state == "pending"
        Machine.objects.filter(pk=machine.pk).update(state=State.FAILED)
        asking.mind()
        assert request().state == "withdrawn"

    def test_what_a_member_asked_for_the_project_is_not_the_machines_business(
        self, machine: Machine, funded: Project, alice: User
    ) -> None:
        requests.ask(funded, "money", 1000, by=alice)
        Machine.objects.filter(pk=machine.pk).update(state=State.FAILED)
        asking.mind()
        assert request().state == "pending"


def test_a_granted_amount_that_is_too_little_is_the_owners_word(waiting: Machine, alice: User) -> None:
    asking.mind()
    requests.grant(request(), by=alice, amount=1000)
    assert funding.resume_funded() == 0
    asking.mind()
    assert BudgetRequest.objects.count() == 1
    assert Window.objects.open().get(resource="money").limit == 1000
