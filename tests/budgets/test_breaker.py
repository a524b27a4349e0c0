"""The circuit breaker: what opens it, what does not, and how it closes again."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import time_machine
from pytest_django import Settings

from budgets import breaker
from budgets.models import Breaker, LedgerEntry
from events.models import Event
from projects.errors import Conflict, Invalid
from projects.models import Project, User
from tests.budgets.rows import entry

NOW = datetime(2026, 3, 28, 12, 2, tzinfo=UTC)
USD = 1_000_000
PROBE = UUID(int=7)


@pytest.fixture(autouse=True)
def clock(settings: Settings) -> Iterator[time_machine.Traveller]:
    settings.BREAKER_COOLDOWN_SECONDS, settings.BREAKER_PROBATION_SECONDS = 600, 300
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def spend(project: Project, micros: int, *, ago: timedelta = timedelta(seconds=30)) -> None:
    at = datetime.now(UTC) - ago
    LedgerEntry.objects.bulk_create([entry(project, at, micros)])


def a_past_of(project: Project, per_interval: int, *, intervals: int = 40) -> None:
    """Days of work in the past: so much in each of so many five-minute intervals."""
    times = [NOW - timedelta(days=2) + n * breaker.INTERVAL for n in range(intervals)]
    LedgerEntry.objects.bulk_create([entry(project, at, per_interval) for at in times])


@pytest.fixture
def old(project: Project) -> Project:
    """A project in which a dollar a minute is normal."""
    Project.objects.filter(pk=project.pk).update(created_at=NOW - timedelta(days=30))
    project.refresh_from_db()
    a_past_of(project, 5 * USD)
    return project


def state(project: Project) -> str:
    return breaker.find(project).state


def opened(project: Project) -> Breaker:
    spend(project, 21 * USD)
    breaker.check()
    assert state(project) == "open"
    return breaker.find(project)


class TestOpening:
    def test_four_times_the_normal_rate_is_still_borne(self, old: Project) -> None:
        spend(old, 20 * USD)
        breaker.check()
        assert state(old) == "closed"

    def test_more_than_that_opens_it_with_figures_and_a_sentence(self, old: Project) -> None:
        opened(old)
        event = Event.objects.get(kind="breaker.opened")
        assert (event.data["rate"], event.data["normal"], event.data["most"]) == (4_200_000, USD, 4 * USD)
        assert event.data["sentence"] == (
            "Project demo spent 4.20 USD a minute, where 1.00 USD is normal: its circuit breaker opened. "
            "One machine goes on to try at 12:12 UTC; to let all go on now: bin/autovibe breaker demo --close"
        )

    def test_it_opens_once(self, old: Project) -> None:
        opened(old)
        breaker.check()
        assert Event.objects.filter(kind="breaker.opened").count() == 1

    def test_the_factor_is_the_projects_own(self, old: Project, alice: User) -> None:
        breaker.configure(old, by=alice, factor=10)
        Breaker.objects.update(since=NOW - timedelta(days=1))
        spend(old, 49 * USD)
        breaker.check()
        assert state(old) == "closed"
        spend(old, 2 * USD)
        breaker.check()
        assert state(old) == "open"

    def test_one_that_is_switched_off_never_opens(self, old: Project, alice: User) -> None:
        breaker.configure(old, by=alice, enabled=False)
        Breaker.objects.update(since=NOW - timedelta(days=1))
        spend(old, 500 * USD)
        breaker.check()
        assert state(old) == "closed"

    def test_what_was_spent_longer_ago_does_not_count(self, old: Project) -> None:
        spend(old, 500 * USD, ago=timedelta(minutes=6))
        breaker.check()
        assert state(old) == "closed"

    def test_another_projects_spending_does_not_count(self, old: Project) -> None:
        spend(Project.objects.create(slug="other"), 500 * USD)
        breaker.check()
        assert state(old) == "closed"


class TestNormal:
    def test_a_busy_tenth_of_the_time_is_no_measure(self, old: Project) -> None:
        times = [NOW - timedelta(days=1) + n * breaker.INTERVAL for n in range(4)]
        LedgerEntry.objects.bulk_create([entry(old, at, 500 * USD) for at in times])
        spend(old, 21 * USD)
        breaker.check()
        assert state(old) == "open"

    def test_nights_are_no_measure_either(self, project: Project) -> None:
        Project.objects.filter(pk=project.pk).update(created_at=NOW - timedelta(days=30))
        a_past_of(project, 5 * USD, intervals=breaker.INTERVALS_MIN)  # one hour in two weeks
        spend(project, 19 * USD)
        breaker.check()
        assert state(project) == "closed"

    def test_what_is_going_on_now_does_not_become_normal(self, old: Project) -> None:
        for minutes in range(1, 10):
            spend(old, 200 * USD, ago=timedelta(minutes=minutes))
        breaker.check()
        assert breaker.find(old).normal == USD

    def test_a_project_that_spends_pennies_may_spend_up_to_the_floor(self, project: Project) -> None:
        Project.objects.filter(pk=project.pk).update(created_at=NOW - timedelta(days=30))
        a_past_of(project, 1000)
        spend(project, 5 * USD)
        breaker.check()
        assert state(project) == "closed"
        spend(project, 1)
        spend(project, 100_000)
        breaker.check()
        assert state(project) == "open"

    def test_a_young_project_is_not_tripped(self, project: Project) -> None:
        Project.objects.filter(pk=project.pk).update(created_at=NOW - timedelta(days=30))
        spend(project, 500 * USD)
        breaker.check()
        assert state(project) == "closed"

    def test_unless_a_ceiling_is_set_for_those(self, project: Project, settings: Settings) -> None:
        settings.BREAKER_CEILING = 20
        Project.objects.filter(pk=project.pk).update(created_at=NOW - timedelta(days=30))
        spend(project, 101 * USD)
        breaker.check()
        assert state(project) == "open"
        assert "more than the 20.00 USD allowed" in breaker.refusal(project.id)


class TestRefusal:
    def test_a_closed_one_refuses_nothing(self, old: Project) -> None:
        assert breaker.refusal(old.id) == ""

    def test_an_open_one_refuses_everybody(self, old: Project) -> None:
        opened(old)
        assert "its circuit breaker opened" in breaker.refusal(old.id, PROBE)

    def test_a_half_open_one_lets_the_probe_through(self, old: Project) -> None:
        breaker.try_with(opened(old), PROBE)
        assert breaker.refusal(old.id, PROBE) == ""
        assert breaker.refusal(old.id, UUID(int=8)) != ""


class TestProbe:
    @pytest.fixture
    def trying(self, old: Project, clock: time_machine.Traveller) -> Breaker:
        opened(old)
        assert not breaker.cooled_down()
        clock.shift(timedelta(minutes=10))
        (one,) = breaker.cooled_down()
        assert breaker.try_with(one, PROBE)
        return one

    def test_it_closes_when_the_probation_was_normal(
        self, trying: Breaker, old: Project, clock: time_machine.Traveller
    ) -> None:
        clock.shift(timedelta(minutes=4))
        spend(old, 5 * USD)
        breaker.check()
        assert state(old) == "half_open"
        clock.shift(timedelta(minutes=1))
        breaker.check()
        assert state(old) == "closed"
        assert Event.objects.filter(kind="breaker.closed").count() == 1

    def test_it_opens_again_for_twice_as_long_when_it_was_not(
        self, trying: Breaker, old: Project, clock: time_machine.Traveller
    ) -> None:
        clock.shift(timedelta(minutes=1))
        spend(old, 21 * USD)
        breaker.check()
        again = breaker.find(old)
        assert (again.state, again.cooldown_seconds, again.probe) == ("open", 1200, None)

    def test_it_is_never_open_for_longer_than_four_hours(
        self, trying: Breaker, old: Project, clock: time_machine.Traveller
    ) -> None:
        Breaker.objects.update(cooldown_seconds=3 * 3600)
        clock.shift(timedelta(minutes=1))
        spend(old, 21 * USD)
        breaker.check()
        assert breaker.find(old).cooldown_seconds == 4 * 3600

    def test_the_first_time_after_it_closed_it_is_short_again(
        self, trying: Breaker, old: Project, clock: time_machine.Traveller
    ) -> None:
        clock.shift(timedelta(minutes=5))
        breaker.check()
        clock.shift(timedelta(minutes=5))
        assert opened(old).cooldown_seconds == 600

    def test_with_nothing_to_try_it_closes(self, old: Project) -> None:
        breaker.try_with(opened(old), None)
        assert state(old) == "closed"

    def test_two_hubs_try_once(self, old: Project) -> None:
        one, other = opened(old), breaker.find(old)
        assert breaker.try_with(one, PROBE)
        assert not breaker.try_with(other, UUID(int=8))
        assert breaker.find(old).probe == PROBE


class TestPerson:
    def test_who_closes_it_starts_counting_anew(self, old: Project, alice: User) -> None:
        opened(old)
        breaker.close(old, by=alice)
        breaker.check()
        assert state(old) == "closed"
        assert Event.objects.get(kind="breaker.closed").actor == "alice"

    def test_one_that_is_closed_cannot_be_closed(self, old: Project, alice: User) -> None:
        with pytest.raises(Conflict, match="is closed"):
            breaker.close(old, by=alice)

    def test_switching_it_off_closes_it(self, old: Project, alice: User) -> None:
        opened(old)
        breaker.configure(old, by=alice, enabled=False)
        assert state(old) == "closed"

    @pytest.mark.parametrize("factor", [1, 0, -3, 1001, float("nan")])
    def test_a_factor_that_is_none_is_refused(self, old: Project, alice: User, factor: float) -> None:
        with pytest.raises(Invalid, match="from above 1 to 1000"):
            breaker.configure(old, by=alice, factor=factor)
