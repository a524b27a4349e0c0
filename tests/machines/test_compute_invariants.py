"""Whatever happens in which order, hubs dying and measurements late: nothing is overdrawn, each second counts once."""

import math
from datetime import UTC, datetime, timedelta

import time_machine
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from budgets import actions as budgets
from budgets import ledger
from budgets.models import Budget, Window
from guests.models import Usage
from machines.limits import compute
from machines.models import Lease, Machine
from machines.states import State
from projects.models import User

NOON = datetime(2026, 3, 28, 12, 0, 20, tzinfo=UTC)

steps = st.one_of(
    st.tuples(st.just("run"), st.integers(1, 90)),
    st.tuples(st.just("run"), st.integers(1, 90)),
    st.tuples(st.just("hub_is_dead"), st.integers(1, 400)),
    st.tuples(st.just("stop")),
    st.tuples(st.just("go_on")),
    st.tuples(st.just("measure"), st.integers(1, 9)),
    st.tuples(st.just("reap")),
    st.tuples(st.just("limit"), st.integers(0, 2000)),
)


class World:
    """A machine whose guest uses a CPU second each second, and the seconds that it ran, counted plainly."""

    def __init__(self, machine: Machine, alice: User, clock: time_machine.Traveller) -> None:
        self.machine, self.alice, self.clock = machine, alice, clock
        self.ran, self.dead = 0, False
        self.measured = NOON.replace(second=0)
        self.wall, self.cpu = (self._limit(name, 1000) for name in ("wall_seconds", "cpu_seconds"))
        compute.begin(machine)

    def run(self, seconds: int) -> None:
        """With a hub that ticks; what it wants paused is paused three seconds later."""
        while seconds > 0:
            soon = math.ceil(compute.tick())
            if pausing := self._state() == State.PAUSING:
                soon = 3
            self._pass(step := min(soon, 7, seconds))
            seconds -= step
            if pausing:
                self.stop()

    def hub_is_dead(self, seconds: int) -> None:
        self.dead = self.dead or self._state() == State.RUNNING
        self._pass(seconds)

    def stop(self) -> None:
        if self._state() in {State.RUNNING, State.PAUSING}:
            Machine.objects.update(state=State.PAUSED, paused_at=datetime.now(UTC))

    def go_on(self) -> None:
        if self._state() == State.PAUSED:
            compute.tick()
            Machine.objects.update(state=State.RUNNING, paused_at=None)
            compute.begin(self.machine)
            if self._state() == State.PAUSING:  # there is nothing left to charge it to
                self.stop()

    def measure(self, minutes: int = 10_000) -> None:
        """Some of the minutes that are over, the oldest first."""
        while minutes and self.measured + timedelta(minutes=1) <= datetime.now(UTC):
            Usage.objects.create(guest=self.machine.guest, at=self.measured, cpu_seconds=60, memory_bytes=1)
            self.measured, minutes = self.measured + timedelta(minutes=1), minutes - 1
        compute.settle()

    def reap(self) -> None:
        budgets.reap_expired(datetime.now(UTC) + timedelta(hours=2))

    def limit(self, limit: int) -> None:
        bound = sum(self.balance(self.wall)[:2])
        self._limit("wall_seconds", max(limit, bound))

    def check(self) -> None:
        assert not ledger.verify()
        for budget in (self.wall, self.cpu):
            reserved, spent, overrun = self.balance(budget)
            assert reserved + spent <= Window.objects.get(budget=budget).limit
            assert self.dead or overrun == 0

    def end(self) -> None:
        """All is measured: every second that it ran was charged, and was charged once."""
        self.stop()
        compute.tick()
        self._pass(60)
        self.measure()
        assert not Lease.objects.exists()
        for budget in (self.wall, self.cpu):
            reserved, spent, overrun = self.balance(budget)
            assert (reserved, spent + overrun) == (0, self.ran)

    @staticmethod
    def balance(budget: Budget) -> tuple[int, int, int]:
        window = Window.objects.get(budget=budget)
        return window.reserved, window.spent, window.overrun

    def _pass(self, seconds: int) -> None:
        if self._state() in {State.RUNNING, State.PAUSING}:
            self.ran += seconds
        self.clock.shift(seconds)

    def _state(self) -> str:
        self.machine.refresh_from_db()
        return self.machine.state

    def _limit(self, resource: str, limit: int) -> Budget:
        return budgets.set_limit(self.machine.project, resource, limit, by=self.alice)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(steps, min_size=8, max_size=16))
def test_nothing_is_overdrawn_and_each_second_is_charged_once(
    machine: Machine, alice: User, script: list[tuple[str, int]]
) -> None:
    with time_machine.travel(NOON, tick=False) as clock, transaction.atomic():
        world = World(machine, alice, clock)
        for name, *arguments in script:
            getattr(world, name)(*arguments)
            world.check()
        world.end()
        transaction.set_rollback(True)
