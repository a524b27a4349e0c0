"""Time and compute: held ahead, charged as measured, each second once, and at an end exactly when they end."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db.models import QuerySet, Sum

from budgets import actions as budgets
from budgets import ledger
from budgets.models import Budget, LedgerEntry, Window
from guests.models import Guest, Usage
from machines import actions
from machines.limits import compute, funding
from machines.models import Lease, Machine
from machines.states import State
from projects.models import Project, User

NOON = datetime(2026, 3, 28, 12, 0, 20, tzinfo=UTC)
GIB = 2**30

Clock = time_machine.Traveller
Limit = Callable[..., Budget]


@pytest.fixture(autouse=True)
def clock() -> Iterator[Clock]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def limit(funded: Project, alice: User) -> Limit:
    def limit(resource: str, limit: int, **more: object) -> Budget:
        return budgets.set_limit(funded, resource, limit, by=alice, **more)

    return limit


def balance(budget: Budget) -> tuple[int, int, int]:
    window = Window.objects.open().get(budget=budget)
    return window.reserved, window.spent, window.overrun


def used(machine: Machine, minute: datetime, cpu: float = 0, memory: int = GIB, network: int = 0) -> None:
    """What the cluster reported of that minute."""
    at = minute.replace(second=0)
    Usage.objects.create(guest=machine.guest, at=at, cpu_seconds=cpu, memory_bytes=memory, sent_bytes=network)


def compute_entries() -> QuerySet[LedgerEntry]:
    return LedgerEntry.objects.filter(label="compute").order_by()


def now() -> datetime:
    return datetime.now(UTC)


def pass_time(
    clock: Clock, seconds: int, machine: Machine | None = None, *, every: int = 20, **minute: float
) -> None:
    """The hub ticks so often, and when it has to; with a machine, its minutes are measured as they end."""
    end, step = now() + timedelta(seconds=seconds), 0.0
    while now() < end:
        before = now()
        clock.move_to(min(before + timedelta(seconds=step or every), end))
        if machine and now().minute != before.minute:
            used(machine, before, **minute)
        soon = compute.tick()
        step = min(soon, every) if soon != compute.LOOK_SECONDS else 0.0


def stop(machine: Machine, state: State = State.PAUSED) -> None:
    machine.refresh_from_db()
    fields = {"paused_at": now()} if state == State.PAUSED else {"ended_at": now()}
    Machine.objects.filter(pk=machine.pk).update(state=state, **fields)
    machine.refresh_from_db()


def goes_on(machine: Machine) -> None:
    """As the worker does it that resumed it."""
    Machine.objects.filter(pk=machine.pk).update(state=State.RUNNING, paused_for="", paused_at=None)
    machine.refresh_from_db()
    compute.begin(machine)


class TestHold:
    def test_two_minutes_are_held_ahead_of_each_resource_that_has_a_budget(
        self, machine: Machine, limit: Limit
    ) -> None:
        Guest.objects.filter(pk=machine.guest_id).update(disk_bytes=10 * 10**9)
        machine.guest.refresh_from_db()
        wall, cpu = limit("wall_seconds", 10_000), limit("cpu_seconds", 10_000)
        memory, storage = limit("memory_mb_seconds", 10**9), limit("storage_mb_seconds", 10**9)
        network = limit("network_bytes", 10**9)
        compute.begin(machine)
        held = [balance(one)[0] for one in (wall, cpu, memory, storage, network)]
        assert held == [120, 240, 257_699, 1_200_000, 1]  # 2 GiB are 2,147.48 million bytes

    def test_every_holders_budget_is_drawn_on(self, machine: Machine, limit: Limit, alice: User) -> None:
        of_project = limit("wall_seconds", 1000)
        of_machine = limit("wall_seconds", 500, machine_id=machine.id, scope=f"Machine {machine.handle}")
        member = budgets.Holder.of_member(machine.project, alice)
        of_member = budgets.change_limit(member, "wall_seconds", 700, by=alice, period="day")
        compute.begin(machine)
        assert [balance(one) for one in (of_project, of_machine, of_member)] == [(120, 0, 0)] * 3

    def test_a_budget_that_comes_while_it_runs_is_held_at_the_next_tick(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        compute.begin(machine)
        clock.shift(100)
        wall = limit("wall_seconds", 1000)
        compute.tick()
        assert balance(wall) == (120, 0, 0)

    def test_one_that_is_removed_holds_nothing_any_more(
        self, machine: Machine, limit: Limit, clock: Clock, alice: User
    ) -> None:
        wall = limit("wall_seconds", 1000)
        compute.begin(machine)
        budgets.remove_limit(wall, by=alice)
        pass_time(clock, 60)
        assert Lease.objects.get(ended_at=None).limited == []
        window = Window.objects.get(budget=wall)
        assert window.reserved == 0
        assert not ledger.verify()


class TestWithoutLimits:
    """What nobody limits is on the ledger as well, in fewer entries."""

    def test_what_a_machine_used_is_entered_every_ten_minutes_or_so(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        Guest.objects.filter(pk=machine.guest_id).update(disk_bytes=10 * 10**9)
        machine.guest.refresh_from_db()
        limit("tokens", 1000)
        compute.begin(machine)
        pass_time(clock, 500, machine, cpu=6, memory=10**9, network=90)
        assert not compute_entries().exists()
        pass_time(clock, 3100, machine, cpu=6, memory=10**9, network=90)
        stop(machine)
        pass_time(clock, 60, machine, cpu=6, memory=10**9, network=90)
        compute.settle()
        names = ("wall_seconds", "cpu_seconds", "memory_mb_seconds", "storage_mb_seconds", "network_bytes")
        sums = compute_entries().aggregate(**{name: Sum(name) for name in names})
        assert [sums[name] for name in names] == [3600, 360, 3_600_000, 36_000_000, 5400]
        assert compute_entries().count() < 10
        assert not ledger.verify()

    def test_it_is_never_paused_for_it(self, machine: Machine, clock: Clock) -> None:
        compute.begin(machine)
        clock.shift(timedelta(hours=3))
        compute.tick()
        pass_time(clock, 1800)
        machine.refresh_from_db()
        assert machine.state == State.RUNNING

    def test_a_limit_that_comes_later_is_charged_from_then_on(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        compute.begin(machine)
        pass_time(clock, 250, machine)
        wall = limit("wall_seconds", 1000)
        compute.tick()
        pass_time(clock, 63, machine)
        stop(machine)
        compute.tick()
        assert balance(wall)[1] == 63
        assert compute_entries().aggregate(sum=Sum("wall_seconds"))["sum"] == 313

    def test_one_that_is_too_small_pauses_it_at_once(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        compute.begin(machine)
        pass_time(clock, 50)
        limit("wall_seconds", 5)
        compute.tick()
        machine.refresh_from_db()
        assert (machine.state, machine.awaiting) == (State.PAUSING, {"wall_seconds": 13})


class TestWallTime:
    def test_each_minute_is_charged_when_it_ended_and_the_next_is_held(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        wall = limit("wall_seconds", 1000)
        compute.begin(machine)
        pass_time(clock, 39, machine)
        assert balance(wall) == (120, 0, 0)
        pass_time(clock, 3, machine)
        assert balance(wall) == (122, 40, 0)  # from 12:01:00 to 12:03:02
        pass_time(clock, 600, machine)
        assert balance(wall)[1] == 640

    def test_a_pause_stops_the_clock_at_once(self, machine: Machine, limit: Limit, clock: Clock) -> None:
        wall = limit("wall_seconds", 1000)
        compute.begin(machine)
        pass_time(clock, 90)
        stop(machine)
        pass_time(clock, 600)
        assert balance(wall) == (0, 90, 0)
        goes_on(machine)
        pass_time(clock, 30)
        stop(machine, State.TERMINATED)
        pass_time(clock, 30)
        assert balance(wall) == (0, 120, 0)
        assert not ledger.verify()

    def test_time_is_charged_until_it_is_paused_and_not_only_until_that_was_asked(
        self, machine: Machine, limit: Limit, clock: Clock, alice: User
    ) -> None:
        wall = limit("wall_seconds", 1000)
        compute.begin(machine)
        actions.pause(machine, by=alice)
        pass_time(clock, 10)
        stop(machine)
        pass_time(clock, 3)
        assert balance(wall) == (0, 10, 0)

    def test_a_lease_that_nothing_ran_under_costs_nothing(self, machine: Machine, limit: Limit) -> None:
        wall = limit("wall_seconds", 1000)
        compute.begin(machine)
        stop(machine)
        compute.tick()
        assert balance(wall) == (0, 0, 0)
        assert not LedgerEntry.objects.exclude(kind="limit").exists()


class TestEnd:
    def test_it_is_paused_just_so_long_before_the_end_as_pausing_takes(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        limit("wall_seconds", 100)
        compute.begin(machine)
        end, lead = NOON + timedelta(seconds=100), timedelta(seconds=3)
        clock.move_to(end - lead - timedelta(seconds=2.25))
        assert compute.tick() == 2.25
        machine.refresh_from_db()
        assert machine.state == State.RUNNING
        clock.shift(2.25)
        compute.tick()
        machine.refresh_from_db()
        assert (machine.state, machine.paused_for) == (State.PAUSING, "budget")
        assert machine.sentence.startswith("Project demo has 3 seconds of its 100 seconds left")
        assert "to go on for a moment may take 13 seconds" in machine.sentence
        assert "bin/autovibe budget set demo wall_seconds 200" in machine.sentence
        assert machine.present.why == "The budget ended"

    def test_it_stays_paused_however_often_the_hub_looks(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        wall = limit("wall_seconds", 100)
        compute.begin(machine)
        pass_time(clock, 98)
        stop(machine)
        pass_time(clock, 30)
        assert funding.resume_funded() == 0
        assert balance(wall) == (0, 98, 0)

    def test_a_limit_raised_by_too_little_leaves_it_paused(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        limit("wall_seconds", 100)
        compute.begin(machine)
        pass_time(clock, 98)
        stop(machine)
        pass_time(clock, 3)
        limit("wall_seconds", 110)
        assert funding.resume_funded() == 0

    def test_a_limit_that_was_raised_enough_lets_it_go_on_where_it_was(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        wall = limit("wall_seconds", 100)
        compute.begin(machine)
        pass_time(clock, 98)
        stop(machine)
        pass_time(clock, 3)
        limit("wall_seconds", 200)
        assert funding.resume_funded() == 1
        goes_on(machine)
        assert machine.state == State.RUNNING
        assert balance(wall) == (102, 98, 0)

    def test_a_limit_that_is_raised_in_time_lets_it_run_on(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        limit("wall_seconds", 100)
        compute.begin(machine)
        pass_time(clock, 95)
        limit("wall_seconds", 1000)
        pass_time(clock, 60)
        machine.refresh_from_db()
        assert machine.state == State.RUNNING

    def test_one_that_cannot_even_begin_is_paused_at_once_and_charged_until_it_is(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        wall = limit("wall_seconds", 12)
        compute.begin(machine)
        machine.refresh_from_db()
        assert (machine.state, machine.awaiting) == (State.PAUSING, {"wall_seconds": 13})
        clock.shift(2)
        stop(machine)
        compute.tick()
        assert balance(wall) == (0, 2, 0)

    def test_machines_share_what_is_left(
        self, machine: Machine, spawn: Callable[..., Machine], limit: Limit, clock: Clock
    ) -> None:
        other = spawn()
        Machine.objects.filter(pk=other.pk).update(state=State.RUNNING)
        other.refresh_from_db()
        wall = limit("wall_seconds", 150)
        compute.begin(machine)
        compute.begin(other)
        assert balance(wall) == (150, 0, 0)
        pass_time(clock, 60)
        states = [Machine.objects.get(pk=one.pk).state for one in (machine, other)]
        assert states == [State.RUNNING, State.PAUSING]


class TestMeasured:
    def test_what_was_measured_is_charged_and_not_what_was_held(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        cpu, memory = limit("cpu_seconds", 1000), limit("memory_mb_seconds", 10**8)
        compute.begin(machine)
        pass_time(clock, 102, machine, cpu=6, memory=10**9)
        assert balance(cpu)[1] == 10  # 40 seconds of the first minute, and the second
        assert balance(memory)[1] == 100_000
        assert set(LedgerEntry.objects.exclude(kind="limit").values_list("kind", flat=True)) == {"usage"}

    @pytest.mark.parametrize(
        ("left", "state"), [(1, State.RUNNING), (0, State.PAUSING), (-100, State.PAUSING)]
    )
    def test_network_is_charged_as_measured_and_the_machine_runs_while_a_byte_is_left(
        self, machine: Machine, limit: Limit, clock: Clock, left: int, state: State
    ) -> None:
        network = limit("network_bytes", 1500 + left)
        compute.begin(machine)
        pass_time(clock, 102, machine, network=900)
        machine.refresh_from_db()
        assert machine.state == state
        stop(machine)
        compute.tick()
        assert balance(network) == (0, min(1500, 1500 + left), max(-left, 0))

    def test_more_than_its_cores_can_do_is_not_charged(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        cpu = limit("cpu_seconds", 1000)
        compute.begin(machine)
        pass_time(clock, 102, machine, cpu=126)
        assert balance(cpu)[1:] == (200, 0)

    def test_an_idle_machine_uses_up_its_cpu_budget_by_what_it_uses(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        cpu = limit("cpu_seconds", 400)
        compute.begin(machine)
        pass_time(clock, 3600, machine, every=30, cpu=1)
        machine.refresh_from_db()
        assert machine.state == State.RUNNING
        assert balance(cpu)[1:] == (60, 0)

    def test_a_busy_one_is_paused_before_it_can_use_more_than_there_is(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        cpu = limit("cpu_seconds", 400)
        compute.begin(machine)
        pass_time(clock, 300, machine, cpu=120)
        machine.refresh_from_db()
        assert machine.state == State.PAUSING
        reserved, spent, overrun = balance(cpu)
        assert (reserved + spent, overrun) == (400, 0)

    def test_it_is_not_resumed_for_what_the_measurement_gave_back(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        """Else it would go to and fro between the two for ever."""
        limit("cpu_seconds", 400)
        compute.begin(machine)
        resumed = 0
        for _ in range(20):
            pass_time(clock, 60, machine, every=30, cpu=30 if machine.state == State.RUNNING else 0)
            machine.refresh_from_db()
            if machine.state == State.PAUSING:
                stop(machine)
            compute.settle()
            if funding.resume_funded():
                resumed += 1
                goes_on(machine)
        assert resumed <= 1
        assert machine.state == State.PAUSED


class TestLate:
    def test_what_ends_within_a_minute_is_charged_by_its_bound_and_put_right(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        cpu = limit("cpu_seconds", 1000)
        compute.begin(machine)
        clock.shift(15)
        stop(machine)
        compute.tick()
        assert balance(cpu) == (0, 30, 0)
        clock.shift(60)
        assert compute.settle() == 0
        used(machine, NOON, cpu=8)
        assert compute.settle() == 1
        assert balance(cpu) == (0, 2, 0)  # a quarter of the minute
        assert not ledger.verify()
        assert compute.settle() == 0

    def test_what_is_never_measured_stays_at_its_bound(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        cpu = limit("cpu_seconds", 1000)
        compute.begin(machine)
        clock.shift(15)
        stop(machine, State.TERMINATED)
        compute.tick()
        clock.shift(compute.PATIENCE + timedelta(seconds=1))
        assert compute.settle() == 1
        assert (balance(cpu), Lease.objects.count()) == ((0, 30, 0), 0)

    def test_a_measurement_that_is_late_does_not_end_a_machine(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        cpu = limit("cpu_seconds", 10_000)
        compute.begin(machine)
        pass_time(clock, 280)
        for minute in range(5):
            used(machine, NOON + timedelta(minutes=minute), cpu=6)
        pass_time(clock, 63, machine, cpu=6)
        compute.settle()
        machine.refresh_from_db()
        assert (machine.state, balance(cpu)[1:]) == (State.RUNNING, (34, 0))


def be_away(machine: Machine, clock: Clock, span: timedelta) -> None:
    """The machine begins, and nobody looks after it for so long."""
    compute.begin(machine)
    clock.shift(span)
    compute.tick()


class TestHubAway:
    """Nobody was there to hold or to pause: what ran is charged all the same."""

    def test_time_is_charged_by_the_clock(self, machine: Machine, limit: Limit, clock: Clock) -> None:
        wall = limit("wall_seconds", 10_000)
        be_away(machine, clock, timedelta(hours=2))
        assert sum(balance(wall)[:2]) == 7200 + 120
        clock.shift(10)
        stop(machine)
        compute.tick()
        assert balance(wall) == (0, 7210, 0)

    def test_what_goes_beyond_the_limit_is_overrun_and_the_machine_is_paused(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        wall = limit("wall_seconds", 3600)
        be_away(machine, clock, timedelta(hours=2))
        machine.refresh_from_db()
        assert machine.state == State.PAUSING
        stop(machine)
        compute.tick()
        assert balance(wall) == (0, 3600, 3600)

    def test_cpu_time_is_charged_once_it_is_known_from_the_history(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        cpu = limit("cpu_seconds", 10_000)
        be_away(machine, clock, timedelta(minutes=30))
        assert balance(cpu) == (240, 240, 0)  # what had been held of the half hour, and the next lease
        for minute in range(31):
            used(machine, NOON + timedelta(minutes=minute), cpu=30)
        compute.settle()
        assert balance(cpu)[1] == 900

    def test_a_hold_that_expired_meanwhile_is_put_right(
        self, machine: Machine, limit: Limit, clock: Clock
    ) -> None:
        wall = limit("wall_seconds", 10_000)
        compute.begin(machine)
        clock.shift(timedelta(hours=2))
        assert budgets.reap_expired() == 1
        assert balance(wall) == (0, 120, 0)
        stop(machine)
        Machine.objects.update(paused_at=NOON + timedelta(seconds=30))
        used(machine, NOON)
        compute.tick()
        assert balance(wall) == (0, 30, 0)
        assert not ledger.verify()
