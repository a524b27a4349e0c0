"""What must always hold, under any order of events and any number of threads."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from budgets import actions
from budgets.models import Budget, LedgerEntry, Reservation
from budgets.prices import Price, Usage
from budgets.reserve import Grant
from projects.models import Project, User

THREADS = 20
MACHINES = [UUID(int=1), UUID(int=2)]

steps = st.one_of(
    st.tuples(
        st.just("reserve"), st.integers(0, 400), st.integers(1, 200), st.sampled_from([None, *MACHINES])
    ),
    st.tuples(st.just("settle"), st.integers(0, 9), st.integers(0, 120), st.integers(0, 120)),
    st.tuples(st.just("release"), st.integers(0, 9)),
    st.tuples(st.just("expire"), st.integers(0, 9)),
    st.tuples(st.just("limit"), st.integers(0, 1500)),
)


def reserve(
    project: Project, price: Price, input_tokens: int, output_tokens: int, machine_id: UUID | None
) -> Grant | None:
    grant = actions.reserve(
        str(uuid4()),
        project=project,
        machine_id=machine_id,
        price=price,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        seconds=60,
    )
    return grant if isinstance(grant, Grant) else None


class Book:
    """Applies steps, and remembers what each hold has cost so far, as the plainest possible model."""

    def __init__(self, project: Project, alice: User, price: Price) -> None:
        self.project, self.alice, self.price = project, alice, price
        self.holds: list[UUID] = []
        self.costs: dict[UUID, int] = {}

    def reserve(self, input_tokens: int, output_tokens: int, machine_id: UUID | None) -> None:
        if grant := reserve(self.project, self.price, input_tokens, output_tokens, machine_id):
            self.holds.append(grant.reservation_id)

    def settle(self, index: int, input_tokens: int, output_tokens: int) -> None:
        """Sometimes within the hold, sometimes beyond it."""
        for hold in self.holds[index : index + 1]:
            settled = Reservation.objects.get(pk=hold).state == "settled"
            cost = actions.settle(hold, Usage(input_tokens, output_tokens=output_tokens), self.price)
            assert not settled or cost == self.costs[hold]
            self.costs[hold] = cost

    def release(self, index: int) -> None:
        for hold in self.holds[index : index + 1]:
            before = Reservation.objects.get(pk=hold).state
            assert actions.release(hold) == (before == "held")

    def expire(self, index: int) -> None:
        for hold in self.holds[index : index + 1]:
            Reservation.objects.filter(pk=hold).update(expires_at=timezone.now() - timedelta(seconds=1))
            if actions.reap_expired():
                self.costs[hold] = Reservation.objects.get(pk=hold).micros

    def limit(self, limit: int) -> None:
        budget = Budget.objects.get(machine_id=None, resource="money")
        if limit >= budget.spent + budget.reserved:
            actions.set_limit(self.project, "money", limit, by=self.alice)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(steps, max_size=25))
def test_the_books_are_right_after_any_sequence_of_events(
    project: Project, alice: User, price: Price, script: list[tuple[str, int]]
) -> None:
    with transaction.atomic():
        actions.set_limit(project, "money", 1000, by=alice)
        actions.set_limit(project, "tokens", 2000, by=alice)
        actions.set_limit(project, "money", 500, by=alice, machine_id=MACHINES[0], scope="Machine m1")
        book = Book(project, alice, price)
        for name, *arguments in script:
            getattr(book, name)(*arguments)
            assert not Budget.objects.filter(spent__gt=F("limit") - F("reserved")).exists()
            assert not actions.verify()
        consumed = Budget.objects.get(machine_id=None, resource="money")
        assert consumed.spent + consumed.overrun == sum(book.costs.values())
        transaction.set_rollback(True)


def test_the_database_itself_refuses_an_overdrawn_budget(project: Project, alice: User) -> None:
    actions.set_limit(project, "money", 100, by=alice)
    with pytest.raises(IntegrityError, match="budget_is_never_overdrawn"), transaction.atomic():
        Budget.objects.update(reserved=101)


@pytest.mark.django_db(transaction=True)
class TestUnderConcurrency:
    def test_twenty_threads_spend_a_budget_to_its_end_and_not_beyond(self, price: Price) -> None:
        alice, project = User.objects.create(username="alice"), Project.objects.create(slug="demo")
        actions.set_limit(project, "money", 5_000, by=alice)
        for machine_id in MACHINES:
            actions.set_limit(project, "money", 3_000, by=alice, machine_id=machine_id, scope="Machine")

        def agent(seed: int) -> int:
            chance = random.Random(seed)
            granted = 0
            try:
                for _ in range(25):
                    machine_id = chance.choice(MACHINES)
                    grant = reserve(project, price, chance.randint(1, 60), chance.randint(1, 60), machine_id)
                    if grant is None:
                        continue
                    granted += 1
                    used = Usage(chance.randint(0, 1), output_tokens=chance.randint(0, grant.output_tokens))
                    chance.choice([actions.settle, actions.settle, self.release])(
                        grant.reservation_id, used, price
                    )
            finally:
                connection.close()
            return granted

        with ThreadPoolExecutor(THREADS) as threads:
            granted = sum(threads.map(agent, range(THREADS)))

        budget = Budget.objects.get(machine_id=None)
        assert granted > 50
        assert (budget.reserved, budget.overrun) == (0, 0)
        assert 4_000 < budget.spent <= 5_000
        assert not actions.verify()

    def test_one_hold_is_settled_once_by_twenty_threads(self, price: Price) -> None:
        alice, project = User.objects.create(username="alice"), Project.objects.create(slug="demo")
        actions.set_limit(project, "money", 1_000, by=alice)
        grant = reserve(project, price, 100, 50, None)
        assert grant

        def settle(output_tokens: int) -> int:
            try:
                return actions.settle(grant.reservation_id, Usage(output_tokens=output_tokens), price)
            finally:
                connection.close()

        with ThreadPoolExecutor(THREADS) as threads:
            costs = set(threads.map(settle, range(1, THREADS + 1)))

        assert len(costs) == 1
        assert LedgerEntry.objects.count() == 1
        assert Budget.objects.get().spent in costs

    def test_one_key_is_granted_once_to_twenty_threads(self, price: Price) -> None:
        alice, project = User.objects.create(username="alice"), Project.objects.create(slug="demo")
        actions.set_limit(project, "money", 10_000, by=alice)

        def ask(_: int) -> object:
            try:
                return actions.reserve(
                    "the same",
                    project=project,
                    machine_id=None,
                    price=price,
                    input_tokens=100,
                    output_tokens=50,
                    seconds=60,
                )
            finally:
                connection.close()

        with ThreadPoolExecutor(THREADS) as threads:
            grants = set(threads.map(ask, range(THREADS)))

        assert len(grants) == 1
        assert Budget.objects.get().reserved == 200

    @staticmethod
    def release(reservation_id: UUID, used: Usage, price: Price) -> bool:
        return actions.release(reservation_id)
