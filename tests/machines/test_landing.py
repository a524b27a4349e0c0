"""What is kept back for wrapping up has been broken into: said once per machine and period."""

from uuid import uuid4

import pytest

from budgets import actions as budgets
from budgets.models import Budget
from events.models import Event
from machines.limits import landing
from machines.limits.payer import payer_of
from machines.models import Machine
from projects.models import User


@pytest.fixture
def calls(machine: Machine, alice: User) -> Budget:
    return budgets.set_limit(machine.project, "calls", 100, by=alice, landing_percent=10)


def hold(machine: Machine, count: int) -> budgets.Grant:
    grant = budgets.reserve(
        str(uuid4()),
        payer=payer_of(machine),
        needs={"calls": (count * 1_000_000, 0)},
        wanted=1,
        label="test",
        seconds=60,
    )
    assert isinstance(grant, budgets.Grant)
    return grant


def said(machine: Machine) -> list[tuple[str, str]]:
    events = Event.objects.filter(kind=landing.KIND, subject=machine.subject)
    return [(event.data["scope"], event.data["resource"]) for event in events]


class TestLanding:
    def test_it_is_said_with_the_budget_that_is_ending(self, machine: Machine, calls: Budget) -> None:
        hold(machine, 90)
        last = hold(machine, 1)
        assert last.landing
        assert landing.begun(machine, last.reservation_id) == 1
        assert said(machine) == [("Project demo", "calls")]

    def test_it_is_said_once(self, machine: Machine, calls: Budget) -> None:
        hold(machine, 90)
        for _ in range(3):
            landing.begun(machine, hold(machine, 1).reservation_id)
        assert len(said(machine)) == 1

    def test_each_machine_is_told(self, machine: Machine, calls: Budget, spawn) -> None:
        other = spawn()
        hold(machine, 90)
        for one in (machine, other):
            landing.begun(one, hold(one, 1).reservation_id)
        assert said(machine) == said(other) == [("Project demo", "calls")]

    def test_budgets_that_are_far_from_their_end_are_not_named(
        self, machine: Machine, calls: Budget, alice: User
    ) -> None:
        budgets.set_limit(machine.project, "calls", 1000, by=alice, period="day", landing_percent=10)
        hold(machine, 90)
        landing.begun(machine, hold(machine, 1).reservation_id)
        assert len(said(machine)) == 1
