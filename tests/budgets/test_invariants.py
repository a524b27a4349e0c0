"""What must always hold, under any order of events, any clock and any number of threads."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import time_machine
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.db.models import F, Q, Sum
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from budgets import actions, ledger, limits
from budgets.models import LedgerEntry, Reservation, Window
from budgets.prices import Price, Usage
from budgets.reserve import Grant
from projects.errors import Conflict
from projects.models import Project, User

THREADS = 20
MACHINES = [UUID(int=1), UUID(int=2)]
PERIODS = ["total", "minute", "hour", "day", "week", "month"]
RESOURCES = ["money", "tokens", "input_tokens", "cached_tokens", "output_tokens", "calls"]

trees = st.lists(
    st.tuples(
        st.sampled_from(["system", "project", "member", "machine 0", "machine 1"]),
        st.sampled_from(RESOURCES),
        st.sampled_from(PERIODS),
        st.integers(0, 1500),
        st.booleans(),
    ),
    max_size=8,
)
steps = st.one_of(
    st.tuples(
        st.just("reserve"), st.integers(0, 400), st.integers(1, 200), st.sampled_from([None, *MACHINES])
    ),
    st.tuples(st.just("settle"), st.integers(0, 9), st.integers(0, 120), st.integers(0, 120)),
    st.tuples(st.just("settle_in_full"), st.integers(0, 9)),
    st.tuples(st.just("release"), st.integers(0, 9)),
    st.tuples(st.just("expire"), st.integers(0, 9)),
    st.tuples(st.just("limit"), st.integers(0, 1500)),
    st.tuples(st.just("jump"), st.integers(-100_000, 3_000_000)),
)


def reserve(
    project: Project,
    price: Price,
    input_tokens: int,
    output_tokens: int,
    machine_id: UUID | None = None,
    *,
    key: str = "",
    member_id: int | None = None,
) -> Grant | None:
    grant = actions.reserve_call(
        key or str(uuid4()),
        payer=actions.Payer(project.id, machine_id, member_id),
        price=price,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        seconds=60,
    )
    return grant if isinstance(grant, Grant) else None


class Book:
    """Applies steps, and remembers what each hold has cost so far, as the plainest possible model."""

    def __init__(self, project: Project, alice: User, price: Price, clock: time_machine.Traveller) -> None:
        self.project, self.alice, self.price, self.clock = project, alice, price, clock
        self.holds: list[UUID] = []
        self.costs: dict[UUID, int] = {}

    def plant(self, tree: list[tuple[str, str, str, int, bool]]) -> None:
        """Any set of budgets; one for money is always there, for without it nothing is granted."""
        holders = {
            "system": actions.Holder.of_system(),
            "project": actions.Holder.of_project(self.project),
            "member": actions.Holder.of_member(self.project, self.alice),
            "machine 0": actions.Holder.of_machine(self.project, MACHINES[0], "Machine m1"),
            "machine 1": actions.Holder.of_machine(self.project, MACHINES[1], "Machine m2"),
        }
        for who, resource, period, limit, carries in tree:
            carry_over = carries and period not in ("total", "minute")
            actions.change_limit(
                holders[who], resource, limit, by=self.alice, period=period, carry_over=carry_over
            )
        actions.set_limit(self.project, "money", 1000, by=self.alice)

    def reserve(self, input_tokens: int, output_tokens: int, machine_id: UUID | None) -> None:
        payer = actions.Payer(self.project.id, machine_id, self.alice.pk)
        grant = reserve(
            self.project, self.price, input_tokens, output_tokens, machine_id, member_id=self.alice.pk
        )
        if grant:
            self.holds.append(grant.reservation_id)
        else:  # no false rejection: the least that could have been asked for does not fit somewhere
            needs = self.price.needs(input_tokens)
            least = {name: actions.amount_of(need, 1) for name, need in needs.items()}
            open_ones = [one for one in actions.applicable(payer) if one.resource in least]
            assert any(one.left < least[one.resource] for one in open_ones)

    def settle(self, index: int, input_tokens: int, output_tokens: int) -> None:
        """Sometimes within the hold, sometimes beyond it; sometimes twice, or after it expired."""
        for hold in self.holds[index : index + 1]:
            ended = Reservation.objects.get(pk=hold).state in ("settled", "released")
            cost = actions.settle(hold, Usage(input_tokens, output_tokens=output_tokens), self.price)
            assert not ended or cost == self.costs.get(hold, 0)
            self.costs[hold] = cost

    def settle_in_full(self, index: int) -> None:
        for hold in self.holds[index : index + 1]:
            self.costs[hold] = actions.settle_in_full(hold)

    def release(self, index: int) -> None:
        for hold in self.holds[index : index + 1]:
            before = Reservation.objects.get(pk=hold).state
            assert ledger.release(hold) == (before == "held")

    def expire(self, index: int) -> None:
        for hold in self.holds[index : index + 1]:
            reservation = Reservation.objects.get(pk=hold)
            if reservation.state == "held":
                Reservation.objects.filter(pk=hold).update(expires_at=timezone.now() - timedelta(days=9999))
                actions.reap_expired(timezone.now() - timedelta(days=9998))
                self.costs[hold] = reservation.held["money"]

    def limit(self, limit: int) -> None:
        before = {one.pk: one.limit for one in Window.objects.all()}
        try:
            actions.set_limit(self.project, "money", limit, by=self.alice)
        except Conflict:
            assert before == {one.pk: one.limit for one in Window.objects.filter(pk__in=before)}

    def jump(self, seconds: int) -> None:
        self.clock.shift(timedelta(seconds=seconds))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees, script=st.lists(steps, max_size=25))
def test_the_books_are_right_after_any_sequence_of_events(
    project: Project,
    alice: User,
    price: Price,
    tree: list[tuple[str, str, str, int, bool]],
    script: list[tuple[str, int]],
) -> None:
    start = datetime(2026, 3, 28, 23, 59, 30, tzinfo=UTC)
    with time_machine.travel(start, tick=False) as clock, transaction.atomic():
        book = Book(project, alice, price, clock)
        book.plant(tree)
        for name, *arguments in script:
            getattr(book, name)(*arguments)
            assert not Window.objects.filter(spent__gt=F("limit") - F("reserved")).exists()
            assert not ledger.verify()
        whole = Window.objects.get(budget__holder=f"project:{project.id}", resource="money", ends_at=None)
        assert whole.consumed == sum(book.costs.values())
        entered = LedgerEntry.objects.aggregate(total=Sum("micros", default=0))["total"]
        assert entered == sum(book.costs.values())
        transaction.set_rollback(True)


def test_the_database_itself_refuses_an_overdrawn_budget(project: Project, alice: User) -> None:
    actions.set_limit(project, "money", 100, by=alice)
    with pytest.raises(IntegrityError, match="budget_is_never_overdrawn"), transaction.atomic():
        Window.objects.update(reserved=101)


def test_the_database_itself_refuses_a_second_open_window(project: Project, alice: User) -> None:
    budget = actions.set_limit(project, "money", 100, by=alice)
    with pytest.raises(IntegrityError, match="one_open_window_per_budget"), transaction.atomic():
        Window.objects.create(
            budget=budget, holder=budget.holder, resource="money", limit=1, starts_at=timezone.now()
        )


class _Crowd:
    """Agents in threads: one clock, one tree of budgets drawn from a seed, and a plain record of what was spent."""

    def __init__(self, seed: int, price: Price, clock: time_machine.Traveller) -> None:
        self.chance, self.price, self.clock, self.lock = random.Random(seed), price, clock, threading.Lock()
        self.alice, self.project = User.objects.create(username="alice"), Project.objects.create(slug="demo")
        self.costs: dict[UUID, int] = {}
        self.granted = 0
        holders = [
            actions.Holder.of_system(),
            actions.Holder.of_project(self.project),
            actions.Holder.of_member(self.project, self.alice),
            *(actions.Holder.of_machine(self.project, one, f"Machine {one}") for one in MACHINES),
        ]
        for holder in holders:
            for resource in self.chance.sample(RESOURCES, 3):
                limit = self.chance.randint(300, 3_000)
                actions.change_limit(
                    holder,
                    resource,
                    limit,
                    by=self.alice,
                    period=self.chance.choice(["minute", "hour", "day"]),
                )
        actions.set_limit(self.project, "money", 20_000, by=self.alice)
        actions.set_limit(self.project, "calls", 30, by=self.alice, period="minute")

    def ask(
        self, key: str, machine_id: UUID, input_tokens: int, wanted: int, minimum: int = 1
    ) -> Grant | None:
        grant = actions.reserve_call(
            key,
            payer=actions.Payer(self.project.id, machine_id, self.alice.pk),
            price=self.price,
            input_tokens=input_tokens,
            output_tokens=wanted,
            minimum_output_tokens=minimum,
            seconds=600,
        )
        return grant if isinstance(grant, Grant) else None

    def agent(self, seed: int) -> None:
        """Calls that end in every way, some of them told twice; the clock goes on meanwhile, and sometimes back."""
        chance = random.Random(seed)
        try:
            for number in range(12):
                with self.lock:
                    self.clock.shift(timedelta(seconds=chance.choice([0, 0, 0, 1, 2, 3, -1])))
                asked = chance.choice(MACHINES), chance.randint(1, 40), chance.randint(1, 40)
                if grant := self.ask(f"{seed} {number}", *asked):
                    assert self.ask(f"{seed} {number}", *asked) == grant
                    self._end(chance, grant)
        finally:
            connection.close()

    def _end(self, chance: random.Random, grant: Grant) -> None:
        used = Usage(1, output_tokens=chance.randint(0, grant.units))
        verbs = {
            "settle": lambda: actions.settle(grant.reservation_id, used, self.price),
            "settle in full": lambda: actions.settle_in_full(grant.reservation_id),
            "release": lambda: 0 * ledger.release(grant.reservation_id),
        }
        cost = verbs[chance.choice(["settle", "settle", "settle in full", "release"])]()
        again = actions.settle(grant.reservation_id, used, self.price)  # told late, and once more
        assert again == cost
        with self.lock:
            self.granted += 1
            self.costs[grant.reservation_id] = cost

    def fitting(self, machine_id: UUID, input_tokens: int) -> int:
        """The largest answer that every budget has room for, reckoned plainly; below 1 when none has."""
        payer = actions.Payer(self.project.id, machine_id, self.alice.pk)
        limits.lock(payer.holders)  # of the periods of now
        needs = self.price.needs(input_tokens)
        room = [
            (one.left * 1_000_000 - needs[one.resource][0]) // needs[one.resource][1]
            if needs[one.resource][1]
            else (10**6 if one.left * 1_000_000 >= needs[one.resource][0] else -1)
            for one in actions.applicable(payer)
        ]
        return min(room)


@pytest.mark.parametrize("table", ["budgets_ledgerentry", "budgets_ledgerentry_default", "this month's"])
def test_the_database_itself_refuses_to_empty_the_ledger(project: Project, alice: User, table: str) -> None:
    if table == "this month's":
        table = timezone.now().strftime("budgets_ledgerentry_%Y_%m")
    actions.set_limit(project, "money", 100, by=alice)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL autovibe.flush = 'off'")  # the tests' own databases are emptied
        with pytest.raises(ProgrammingError, match="append-only"), transaction.atomic():
            cursor.execute(f"TRUNCATE {table}")
    assert LedgerEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
class TestUnderConcurrency:
    def test_twenty_threads_spend_a_budget_to_its_end_and_not_beyond(self, price: Price) -> None:
        alice, project = User.objects.create(username="alice"), Project.objects.create(slug="demo")
        actions.set_limit(project, "money", 5_000, by=alice, landing_percent=0)
        for machine_id in MACHINES:
            actions.set_limit(
                project, "money", 3_000, by=alice, machine_id=machine_id, scope="Machine", landing_percent=0
            )

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
                    used = Usage(chance.randint(0, 1), output_tokens=chance.randint(0, grant.units))
                    chance.choice([actions.settle, actions.settle, self.release])(
                        grant.reservation_id, used, price
                    )
            finally:
                connection.close()
            return granted

        with ThreadPoolExecutor(THREADS) as threads:
            granted = sum(threads.map(agent, range(THREADS)))

        whole = Window.objects.get(holder=f"project:{project.id}")
        assert granted > 50
        assert (whole.reserved, whole.overrun) == (0, 0)
        assert 4_000 < whole.spent <= 5_000
        assert not ledger.verify()

    @pytest.mark.parametrize("seed", range(3))
    def test_any_tree_of_budgets_is_spent_to_its_end_while_periods_roll(
        self, price: Price, seed: int
    ) -> None:
        with time_machine.travel(datetime(2026, 3, 28, 23, 58, 30, tzinfo=UTC), tick=False) as clock:
            crowd = _Crowd(seed, price, clock)
            with ThreadPoolExecutor(THREADS) as threads:
                list(threads.map(crowd.agent, range(THREADS)))

            assert crowd.granted > 30
            assert Window.objects.exclude(closed_at=None).exists()
            assert not Window.objects.filter(Q(reserved__gt=0) | Q(overrun__gt=0)).exists()
            whole = Window.objects.get(holder=f"project:{crowd.project.id}", resource="money", ends_at=None)
            assert whole.spent == sum(crowd.costs.values())
            assert not ledger.verify()

            # No false rejection: what is left is granted to the last unit, and not one more.
            for _ in range(2):
                fits = crowd.fitting(MACHINES[0], 5)
                assert crowd.ask(f"more {fits}", MACHINES[0], 5, fits + 1, minimum=max(fits, 0) + 1) is None
                if fits > 0:
                    grant = crowd.ask(f"all {fits}", MACHINES[0], 5, fits, minimum=fits)
                    assert grant
                    assert grant.units == fits
                    ledger.release(grant.reservation_id)
                clock.shift(timedelta(days=1))  # everything but the whole is there anew
            assert fits > 0

    def test_a_new_period_that_many_enter_at_once_begins_once(self, price: Price) -> None:
        alice, project = User.objects.create(username="alice"), Project.objects.create(slug="demo")
        with time_machine.travel(timezone.now() - timedelta(days=40), tick=False):
            actions.set_limit(project, "money", 10_000, by=alice, period="day", landing_percent=0)
            actions.set_limit(project, "money", 50_000, by=alice, period="month", landing_percent=0)

        def ask(_: int) -> bool:
            try:
                return reserve(project, price, 980, 10) is not None
            finally:
                connection.close()

        with ThreadPoolExecutor(THREADS) as threads:
            granted = sum(threads.map(ask, range(THREADS)))

        assert granted == 10
        assert Window.objects.count() == 4
        assert set(Window.objects.open().values_list("reserved", flat=True)) == {10_000}
        assert not ledger.verify()

    def test_one_hold_is_settled_once_by_twenty_threads(self, price: Price) -> None:
        alice, project = User.objects.create(username="alice"), Project.objects.create(slug="demo")
        actions.set_limit(project, "money", 1_000, by=alice)
        grant = reserve(project, price, 100, 50)
        assert grant

        def settle(output_tokens: int) -> int:
            try:
                return actions.settle(grant.reservation_id, Usage(output_tokens=output_tokens), price)
            finally:
                connection.close()

        with ThreadPoolExecutor(THREADS) as threads:
            costs = set(threads.map(settle, range(1, THREADS + 1)))

        assert len(costs) == 1
        assert LedgerEntry.objects.filter(kind="usage").count() == 1
        assert Window.objects.get().spent in costs

    def test_one_key_is_granted_once_to_twenty_threads(self, price: Price) -> None:
        alice, project = User.objects.create(username="alice"), Project.objects.create(slug="demo")
        actions.set_limit(project, "money", 10_000, by=alice)

        def ask(_: int) -> object:
            try:
                return reserve(project, price, 100, 50, key="the same")
            finally:
                connection.close()

        with ThreadPoolExecutor(THREADS) as threads:
            grants = set(threads.map(ask, range(THREADS)))

        assert len(grants) == 1
        assert Window.objects.get().reserved == 200

    @staticmethod
    def release(reservation_id: UUID, used: Usage, price: Price) -> bool:
        return ledger.release(reservation_id)
