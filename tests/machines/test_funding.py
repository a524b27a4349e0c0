"""Machines that go on by themselves when their budget has room for them again, and only then."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from budgets import actions as budgets
from budgets import breaker
from budgets.models import Breaker
from events.models import Event
from machines import actions
from machines.limits import funding
from machines.models import Machine
from machines.states import State
from operations.models import Operation
from projects.models import Project, User

NEEDS = {"money": 400_000, "calls": 1}


@pytest.fixture
def nothing_left(funded: Project, alice: User) -> Callable[[], Project]:
    """Called once machines are there: nothing is left to spend."""
    return lambda: leave(funded, 0, alice)


def leave(project: Project, micros: int, alice: User) -> Project:
    budgets.set_limit(project, "money", micros, by=alice)
    return project


@pytest.fixture
def paused(spawn: Callable[..., Machine], alice: User, funded: Project) -> Callable[..., Machine]:
    """A machine that was refused a call, so long ago."""

    def paused(minutes: int = 1, needs: dict[str, int] | None = None) -> Machine:
        machine = spawn()
        Machine.objects.filter(pk=machine.pk).update(
            state=State.PAUSED,
            paused_for=Machine.PausedFor.BUDGET,
            paused_at=timezone.now() - timedelta(minutes=minutes),
            sentence="Nothing is left.",
            awaiting=NEEDS if needs is None else needs,
        )
        machine.refresh_from_db()
        return machine

    return paused


def states(*machines: Machine) -> list[str]:
    for machine in machines:
        machine.refresh_from_db()
    return [machine.state for machine in machines]


class TestRefund:
    def test_a_raised_limit_lets_it_go_on(self, paused, nothing_left, alice, funded) -> None:
        machine = paused()
        nothing_left()
        assert funding.resume_funded() == 0
        leave(funded, 400_000, alice)
        assert funding.resume_funded() == 1
        machine.refresh_from_db()
        assert (machine.state, machine.sentence) == (State.RESUMING, "")
        assert Event.objects.get(kind="machine.refunded").subject == machine.subject
        assert Operation.objects.get(verb="resume").arguments["restart"] is True

    def test_one_that_was_raised_by_too_little_leaves_it_paused_with_its_sentence(
        self, paused, nothing_left, alice, funded
    ) -> None:
        machine = paused()
        nothing_left()
        leave(funded, 399_999, alice)
        for _ in range(3):
            assert funding.resume_funded() == 0
        machine.refresh_from_db()
        assert (machine.state, machine.sentence) == (State.PAUSED, "Nothing is left.")
        assert not Operation.objects.filter(verb="resume").exists()

    def test_every_one_of_its_budgets_has_to_have_room(self, paused, alice, funded) -> None:
        machine = paused()
        budgets.set_limit(funded, "calls", 0, by=alice, machine_id=machine.id, scope="Machine")
        assert funding.resume_funded() == 0
        budgets.set_limit(funded, "calls", 1, by=alice, machine_id=machine.id, scope="Machine")
        assert funding.resume_funded() == 1

    def test_without_any_budget_for_money_nobody_goes_on(self, paused, alice, funded) -> None:
        machine = paused()
        budgets.remove_limit(funded.budgets.get(resource="money"), by=alice)
        assert funding.resume_funded() == 0
        assert states(machine) == [State.PAUSED]

    def test_a_limit_that_was_lifted_is_room(self, paused, alice, funded) -> None:
        paused()
        budget = budgets.set_limit(funded, "calls", 0, by=alice)
        assert funding.resume_funded() == 0
        budgets.remove_limit(budget, by=alice)
        assert funding.resume_funded() == 1

    def test_a_rate_a_minute_that_is_used_up_is_nothing_to_wait_for(self, paused, alice, funded) -> None:
        paused()
        budgets.set_limit(funded, "calls", 0, by=alice, period="minute")
        assert funding.resume_funded() == 1

    def test_those_a_person_paused_stay(self, paused) -> None:
        machine = paused()
        Machine.objects.update(paused_for=Machine.PausedFor.PERSON)
        assert funding.resume_funded() == 0
        assert states(machine) == [State.PAUSED]

    def test_one_whose_need_nobody_noted_waits_for_a_person(self, paused, alice) -> None:
        machine = paused(needs={})
        assert funding.resume_funded() == 0
        actions.resume(machine, by=alice)
        assert states(machine) == [State.RESUMING]

    def test_a_person_may_resume_it_anyway(self, paused, nothing_left, alice) -> None:
        machine = paused()
        nothing_left()
        actions.resume(machine, by=alice)
        assert states(machine) == [State.RESUMING]

    def test_an_open_circuit_breaker_comes_first(self, paused, funded, alice) -> None:
        machine = paused()
        Breaker.objects.create(project=funded, state="open", until=timezone.now() + timedelta(hours=1))
        assert funding.resume_funded() == 0
        breaker.close(funded, by=alice)
        assert funding.resume_funded() == 1
        assert states(machine) == [State.RESUMING]


class TestMany:
    """Fifty machines must not all start for one dollar."""

    def test_as_many_go_on_as_there_is_room_for_the_longest_waiting_first(
        self, paused, nothing_left, alice, funded
    ) -> None:
        machines = [paused(minutes) for minutes in (1, 5, 3, 4, 2)]
        nothing_left()
        leave(funded, 1_000_000, alice)
        assert funding.resume_funded() == 2
        assert states(*machines) == ["paused", "resuming", "paused", "resuming", "paused"]

    def test_room_that_was_given_away_a_moment_ago_is_not_given_away_again(
        self, paused, nothing_left, alice, funded
    ) -> None:
        for minutes in (1, 2, 3):
            paused(minutes)
        nothing_left()
        leave(funded, 1_000_000, alice)
        assert funding.resume_funded() == 2
        assert funding.resume_funded() == 0
        now = timezone.now()
        Machine.objects.filter(state=State.RESUMING).update(state=State.RUNNING, run_started_at=now)
        assert funding.resume_funded(now) == 0

    def test_once_they_have_had_the_time_to_take_it_what_is_left_counts(
        self, paused, nothing_left, alice, funded
    ) -> None:
        for minutes in (1, 2, 3):
            paused(minutes)
        nothing_left()
        leave(funded, 1_000_000, alice)
        assert funding.resume_funded() == 2
        now = timezone.now()
        Machine.objects.filter(state=State.RESUMING).update(state=State.RUNNING, run_started_at=now)
        assert funding.resume_funded(now + funding.STARTING) == 1

    def test_one_that_needs_more_than_there_is_does_not_keep_the_others_waiting(
        self, paused, nothing_left, alice, funded
    ) -> None:
        large = paused(9, {"money": 5_000_000})
        small = paused(1)
        nothing_left()
        leave(funded, 1_000_000, alice)
        assert funding.resume_funded() == 1
        assert states(large, small) == ["paused", "resuming"]


class TestAwaiting:
    def test_what_was_refused_is_kept_with_the_machine(self, machine: Machine) -> None:
        actions.out_of_budget(machine, "Nothing is left.", NEEDS)
        machine.refresh_from_db()
        assert machine.awaiting == NEEDS

    def test_an_agent_that_was_refused_a_call_while_its_time_ended_is_started_again(
        self, machine: Machine, alice: User
    ) -> None:
        actions.out_of_budget(machine, "Its time is up.", {"wall_seconds": 12})
        actions.out_of_budget(machine, "Nothing is left.", NEEDS)
        machine.refresh_from_db()
        assert machine.awaiting == {"wall_seconds": 12, **NEEDS}
        machine.move(State.PAUSED)
        assert actions.resume(machine, by=alice).arguments["restart"] is True

    def test_one_whose_time_ended_goes_on_where_it_was(self, machine: Machine, alice: User) -> None:
        actions.out_of_budget(machine, "Its time is up.", {"wall_seconds": 12})
        machine.move(State.PAUSED)
        assert actions.resume(machine, by=alice).arguments["restart"] is False
