"""A project that spends too fast: its machines pause, one tries, and all go on when that went well."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from pytest_django import Settings

from budgets import breaker
from budgets.models import LedgerEntry
from machines import actions
from machines.limits import breakers
from machines.models import Machine
from machines.states import State
from operations.models import Operation
from projects.models import Project, User
from tests.budgets.rows import entry

NOW = datetime(2026, 3, 28, 12, 2, tzinfo=UTC)
USD = 1_000_000


@pytest.fixture(autouse=True)
def clock(settings: Settings) -> Iterator[time_machine.Traveller]:
    settings.BREAKER_COOLDOWN_SECONDS, settings.BREAKER_PROBATION_SECONDS = 600, 300
    settings.BREAKER_CEILING = 2
    with time_machine.travel(NOW - timedelta(days=1), tick=False) as traveller:
        yield traveller


@pytest.fixture
def fleet(spawn: Callable[..., Machine], clock: time_machine.Traveller) -> list[Machine]:
    """Three that run, and one that a person paused."""
    machines = [spawn() for _ in range(4)]
    Machine.objects.update(state=State.RUNNING)
    Machine.objects.filter(pk=machines[3].pk).update(state=State.PAUSED, paused_for=Machine.PausedFor.PERSON)
    clock.move_to(NOW)
    return machines


@pytest.fixture
def tripped(fleet: list[Machine], funded: Project) -> list[Machine]:
    """They are paused, the second before the others."""
    run_away(funded)
    breakers.mind()
    for machine, seconds in zip(fleet[:3], (9, 5, 7), strict=True):
        moment = NOW + timedelta(seconds=seconds)
        Machine.objects.filter(pk=machine.pk).update(state=State.PAUSED, paused_at=moment)
    return fleet


def run_away(project: Project) -> None:
    LedgerEntry.objects.bulk_create([entry(project, datetime.now(UTC), 11 * USD)])


def states(machines: list[Machine]) -> list[str]:
    found = dict(Machine.objects.values_list("pk", "state"))
    return [found[machine.pk] for machine in machines]


class TestTripped:
    def test_every_running_machine_is_kept_and_paused_with_the_reason(
        self, fleet: list[Machine], funded: Project
    ) -> None:
        run_away(funded)
        breakers.mind()
        assert states(fleet) == ["pausing", "pausing", "pausing", "paused"]
        machine = Machine.objects.get(pk=fleet[0].pk)
        assert machine.paused_for == "breaker"
        assert "its circuit breaker opened" in machine.sentence
        assert machine.present is not None
        assert Operation.objects.filter(verb="pause").count() == 3

    def test_another_projects_machines_go_on(self, fleet: list[Machine]) -> None:
        run_away(Project.objects.create(slug="other", created_at=NOW - timedelta(days=9)))
        breakers.mind()
        assert states(fleet) == ["running", "running", "running", "paused"]

    def test_one_that_is_resumed_by_hand_is_paused_again(self, tripped: list[Machine], alice: User) -> None:
        actions.resume(Machine.objects.get(pk=tripped[0].pk), by=alice)
        Machine.objects.filter(pk=tripped[0].pk).update(state=State.RUNNING)
        breakers.mind()
        assert states(tripped)[0] == "pausing"


class TestProbe:
    def test_nothing_goes_on_before_the_cool_down_is_over(
        self, tripped: list[Machine], clock: time_machine.Traveller
    ) -> None:
        clock.shift(timedelta(minutes=9))
        breakers.mind()
        assert states(tripped) == ["paused"] * 4

    def test_then_the_one_that_waited_longest_tries(
        self, tripped: list[Machine], clock: time_machine.Traveller
    ) -> None:
        clock.shift(timedelta(minutes=10))
        breakers.mind()
        breakers.mind()
        assert states(tripped) == ["paused", "resuming", "paused", "paused"]

    def test_when_it_stays_normal_the_others_go_on_but_not_those_a_person_paused(
        self, tripped: list[Machine], clock: time_machine.Traveller
    ) -> None:
        clock.shift(timedelta(minutes=10))
        breakers.mind()
        clock.shift(timedelta(minutes=5))
        breakers.mind()
        assert states(tripped) == ["resuming", "resuming", "resuming", "paused"]

    def test_when_it_does_not_it_is_paused_too(
        self, tripped: list[Machine], funded: Project, clock: time_machine.Traveller
    ) -> None:
        clock.shift(timedelta(minutes=10))
        breakers.mind()
        Machine.objects.filter(pk=tripped[1].pk).update(state=State.RUNNING, paused_for="")
        clock.shift(timedelta(minutes=1))
        run_away(funded)
        breakers.mind()
        assert states(tripped) == ["paused", "pausing", "paused", "paused"]
        assert breaker.find(funded).cooldown_seconds == 1200

    def test_a_hub_that_died_before_it_resumed_the_probe_does_so_later(
        self, tripped: list[Machine], funded: Project, clock: time_machine.Traveller
    ) -> None:
        clock.shift(timedelta(minutes=10))
        breaker.try_with(breaker.find(funded), tripped[2].id)
        breakers.mind()
        assert states(tripped) == ["paused", "paused", "resuming", "paused"]

    def test_without_a_machine_that_could_try_it_closes(
        self, tripped: list[Machine], funded: Project, clock: time_machine.Traveller
    ) -> None:
        Machine.objects.update(state=State.TERMINATED)
        clock.shift(timedelta(minutes=10))
        breakers.mind()
        assert breaker.find(funded).state == "closed"


class TestPerson:
    def test_who_closes_it_lets_all_go_on(self, tripped: list[Machine], funded: Project, alice: User) -> None:
        breaker.close(funded, by=alice)
        breakers.mind()
        assert states(tripped) == ["resuming", "resuming", "resuming", "paused"]
        restarts = {one.arguments["restart"] for one in Operation.objects.filter(verb="resume")}
        assert restarts == {True}  # their agents may have been refused a call
