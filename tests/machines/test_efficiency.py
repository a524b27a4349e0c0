"""What projects achieve with their money, as a factor that few machines cannot carry far."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from budgets import sharing
from budgets.models import Deal
from machines.forecast import efficiency
from machines.models import Machine
from machines.states import State
from projects import actions as projects
from projects.models import Project, User
from tests.budgets.rows import entry


@pytest.fixture
def other(alice: User) -> Project:
    return projects.create(slug="other", by=alice)


@pytest.fixture
def ran(spawn: Callable[..., Machine], funded: Project) -> Callable[..., None]:
    """Machines that ended, each having cost so much; in the given project."""

    def ran(
        project: Project, count: int, micros: int, *, good: bool = True, ended: timedelta = timedelta(days=1)
    ) -> None:
        at: datetime = timezone.now() - ended
        for _ in range(count):
            machine = spawn()
            Machine.objects.filter(pk=machine.pk).update(
                project=project, state=State.TERMINATED, exit_code=0 if good else 1, ended_at=at
            )
            if micros:
                entry(project, at, micros, machine_id=machine.id).save()

    return ran


def measured(*projects: Project) -> list[Decimal]:
    found = efficiency.measure([one.id for one in projects])
    return [found[one.id] for one in projects]


class TestMeasure:
    def test_without_history_all_are_alike(self, funded: Project, other: Project) -> None:
        assert measured(funded, other) == [1, 1]

    def test_who_achieves_more_with_its_money_has_more(
        self, ran: Callable[..., None], funded: Project, other: Project
    ) -> None:
        ran(funded, 8, 1000)
        ran(other, 2, 1000)
        ran(other, 6, 1000, good=False)
        # Five of eight each would be usual: (8 + 5) / (5 + 5), and (2 + 5) / (5 + 5).
        assert measured(funded, other) == [Decimal("1.30"), Decimal("0.70")]

    def test_a_single_lucky_machine_does_not_carry_far(
        self, ran: Callable[..., None], funded: Project, other: Project
    ) -> None:
        ran(funded, 1, 10)
        ran(other, 3, 10_000)
        lucky, usual = measured(funded, other)
        assert Decimal(1) < lucky < Decimal("1.25")
        assert Decimal("0.85") < usual < 1

    def test_it_stays_between_a_half_and_twice(
        self, ran: Callable[..., None], funded: Project, other: Project
    ) -> None:
        ran(funded, 30, 10)
        ran(other, 1, 1_000_000, good=False)
        assert measured(funded, other) == [Decimal("2.00"), Decimal("0.50")]

    def test_what_cost_nothing_or_is_long_past_does_not_count(
        self, ran: Callable[..., None], funded: Project, other: Project
    ) -> None:
        ran(funded, 9, 0)
        ran(funded, 9, 100, ended=timedelta(days=15))
        ran(other, 2, 100)
        assert measured(funded, other) == [1, 1]


def test_a_pool_that_adjusts_is_dealt_by_it(
    ran: Callable[..., None], funded: Project, other: Project, alice: User
) -> None:
    ran(funded, 8, 1000)
    ran(other, 2, 1000)
    ran(other, 6, 1000, good=False)
    pool = sharing.put("house", 2_000_000, by=alice, adjust=True)
    for one in (funded, other):
        sharing.join(pool, one, by=alice)
    assert efficiency.deal() == 1
    assert [share["sentence"] for share in Deal.objects.get().shares] == [
        "0.5 × 1.3 of 1 → 1.30 USD",
        "0.5 × 0.7 of 1 → 0.70 USD",
    ]
