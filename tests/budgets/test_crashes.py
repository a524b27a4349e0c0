"""Whoever dies between any two statements: nothing is overdrawn or missing, and doing it again comes to the same.

What dies here is a transaction. That of a whole process is `tests/gateway/test_killed.py`.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.db import connection, models, transaction
from django.db.models import F, Sum
from django.utils import timezone

from budgets import actions, book, ledger, prices, requests, rerate, sharing, transfers
from budgets.limits import Holder
from budgets.models import (
    Budget,
    BudgetRequest,
    LedgerEntry,
    Pool,
    PoolMember,
    Rerating,
    Reservation,
    Transfer,
    Window,
)
from budgets.prices import Price, Usage, price_of
from budgets.reserve import Grant
from budgets.resources import Payer
from checkpoints.models import Checkpoint
from events.models import Event
from guests.models import Guest
from guests.models import Usage as Minute
from machines.limits import compute
from machines.models import Lease, Machine
from machines.states import State
from projects import actions as projects
from projects.errors import Conflict
from projects.models import Project, User

START = datetime(2026, 3, 28, 23, 59, 20, tzinfo=UTC)
NEXT_DAY = START + timedelta(minutes=1)
MACHINE = UUID(int=1)
MODEL = "claude-sonnet-4-5"

Verb = Callable[[], object]


class _Crash(Exception):
    """Not one of the database's: nobody catches it."""


# A crash after any other is one after the statement before: it has changed nothing. Functions may change anything.
_READS = re.compile(r"SELECT (?!.*\b(budgets|pg)_\w+\()", re.DOTALL)


class _Axe:
    """Falls once, after so many statements that may change something: that one was executed, and nobody heard of it."""

    def __init__(self, after: int) -> None:
        self.after, self.executed = after, 0

    def __call__(self, execute: Callable[..., Any], statement: str, *more: Any) -> Any:
        result = execute(statement, *more)
        if _READS.match(statement):
            return result
        self.executed += 1
        if self.executed == self.after:
            raise _Crash
        return result


@dataclass
class World:
    """Two projects of Alice's and one of Bob's, with limits of every kind; two of periods that are about to end."""

    clock: time_machine.Traveller
    alice: User
    project: Project
    other: Project
    bobs: Project
    price: Price
    machine: Machine

    def hold(self, key: str = "hold") -> Grant:
        grant = actions.reserve_call(
            key,
            payer=Payer(self.project.id, MACHINE, self.alice.pk),
            price=self.price,
            input_tokens=100,
            output_tokens=50,
            seconds=60,
        )
        assert isinstance(grant, Grant)
        return grant

    def money(self, project: Project) -> Budget:
        return Budget.objects.get(holder=f"project:{project.id}", resource="money", period="total")


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller
    prices.use(prices.Book())


@pytest.fixture
def world(
    clock: time_machine.Traveller,
    alice: User,
    project: Project,
    price: Price,
    template: Guest,
    genesis: Checkpoint,
) -> World:
    other = projects.create(slug="other", by=alice)
    bobs = projects.create(slug="bobs", by=User.objects.get(username="bob"))
    machine = Machine.objects.create(
        number=1,
        project=project,
        type="shell",
        prompt="Work.",
        source=genesis,
        guest=Guest.objects.create(project=project, vmid=10_000, node="embedded"),
        wall_seconds=60,
        state=State.RUNNING,
    )
    holders = [
        Holder.of_system(),
        Holder.of_member(project, alice),
        Holder.of_machine(project, MACHINE, "Machine m7"),
    ]
    for holder in (*holders, *map(Holder.of_project, (project, other, bobs))):
        actions.change_limit(holder, "money", 50_000, by=alice)
    day = {"period": "day", "carry_over": True}
    actions.change_limit(Holder.of_project(project), "tokens", 900, by=alice, **day)
    actions.change_limit(Holder.of_project(project), "calls", 10, by=alice, period="minute")
    return World(clock, alice, project, other, bobs, price, machine)


# Each sets a scene, and returns what is to be interrupted.


def reserving(world: World) -> Verb:
    world.clock.move_to(NEXT_DAY)
    return world.hold


def refusing(world: World) -> Verb:
    actions.set_limit(world.project, "money", 10, by=world.alice)
    payer = Payer(world.project.id)
    return lambda: actions.reserve_call(
        "too much", payer=payer, price=world.price, input_tokens=100, output_tokens=50, seconds=60
    )


def settling(world: World) -> Verb:
    hold = world.hold().reservation_id
    world.clock.move_to(NEXT_DAY)
    return lambda: actions.settle(hold, Usage(input_tokens=90, output_tokens=300), world.price)


def settling_what_had_expired(world: World) -> Verb:
    hold = world.hold().reservation_id
    actions.reap_expired(timezone.now() + timedelta(hours=1))
    return lambda: actions.settle(hold, Usage(input_tokens=90, output_tokens=10), world.price)


def settling_in_full(world: World) -> Verb:
    hold = world.hold().reservation_id
    return lambda: actions.settle_in_full(hold)


def releasing(world: World) -> Verb:
    hold = world.hold().reservation_id
    world.clock.move_to(NEXT_DAY)
    return lambda: ledger.release(hold)


def reaping(world: World) -> Verb:
    for number in range(3):
        world.hold(f"hold {number}")
    world.clock.shift(timedelta(hours=1))
    return actions.reap_expired


def setting_a_first_limit(world: World) -> Verb:
    return lambda: actions.set_limit(world.project, "output_tokens", 70, by=world.alice, period="week")


def changing_a_limit(world: World) -> Verb:
    world.hold()
    world.clock.move_to(NEXT_DAY)
    return lambda: actions.set_limit(world.project, "tokens", 1200, by=world.alice, period="day")


def removing_a_limit(world: World) -> Verb:
    world.hold()
    budget = world.money(world.project)
    return lambda: actions.remove_limit(budget, by=world.alice)


def proposing_a_transfer_to_oneself(world: World) -> Verb:
    return lambda: transfers.propose(world.project, world.other, "money", 700, by=world.alice, key="the same")


def accepting_a_transfer(world: World) -> Verb:
    bob = User.objects.get(username="bob")
    made = transfers.propose(world.project, world.bobs, "money", 700, by=bob)
    return lambda: transfers.accept(Transfer.objects.get(pk=made.pk), by=world.alice)


def granting_a_request(world: World) -> Verb:
    made = requests.ask(world.project, "money", 500, by=None, machine_id=world.machine.id)
    return lambda: requests.grant(BudgetRequest.objects.get(pk=made.pk), by=world.alice)


def rerating(world: World) -> Verb:
    for number in range(3):
        hold = actions.reserve_call(
            f"priced {number}",
            payer=Payer(world.project.id),
            price=price_of(MODEL),
            input_tokens=20,
            output_tokens=20,
            seconds=60,
        )
        assert isinstance(hold, Grant)
        actions.settle(hold.reservation_id, Usage(10, output_tokens=20), price_of(MODEL))
    world.clock.shift(timedelta(seconds=1))
    book.enter(MODEL, {"input": "6", "output": "30"}, by=world.alice)
    book.refresh(now=True)
    since = START - timedelta(hours=1)
    return lambda: rerate.rerate(None, since, timezone.now(), by=world.alice)


def dealing_a_pool(world: World) -> Verb:
    pool = sharing.put("house", 1000, by=world.alice)
    for one in (world.project, world.other):
        sharing.join(pool, one, by=world.alice)
    sharing.deal(lambda ids: {})
    world.clock.move_to(NEXT_DAY)
    sharing.put("house", 3000, by=world.alice)
    return lambda: sharing.deal(lambda ids: {})


def leaving_a_pool(world: World) -> Verb:
    pool = sharing.put("house", 1000, by=world.alice)
    for one in (world.project, world.other):
        sharing.join(pool, one, by=world.alice)
    sharing.deal(lambda ids: {})
    return lambda: sharing.leave(Pool.objects.get(pk=pool.pk), world.project, by=world.alice)


def beginning_a_lease(world: World) -> Verb:
    _limit_compute(world)
    return lambda: compute.begin(Machine.objects.get(pk=world.machine.pk))


def renewing_a_lease(world: World) -> Verb:
    beginning_a_lease(world)()
    measured = START.replace(second=0)
    Minute.objects.create(guest=world.machine.guest, at=measured, cpu_seconds=5, memory_bytes=2**30)
    world.clock.shift(timedelta(seconds=50))
    return compute.tick


def the_end_of_what_a_lease_can_hold(world: World) -> Verb:
    _limit_compute(world, wall_seconds=40)
    compute.begin(world.machine)
    world.clock.shift(timedelta(seconds=38))
    return compute.tick


def _limit_compute(world: World, wall_seconds: int = 600) -> None:
    actions.set_limit(world.project, "wall_seconds", wall_seconds, by=world.alice)
    actions.set_limit(world.project, "storage_mb_seconds", 10**12, by=world.alice, period="hour")


SCENES = [
    reserving,
    refusing,
    settling,
    settling_what_had_expired,
    settling_in_full,
    releasing,
    reaping,
    setting_a_first_limit,
    changing_a_limit,
    removing_a_limit,
    proposing_a_transfer_to_oneself,
    accepting_a_transfer,
    granting_a_request,
    rerating,
    dealing_a_pool,
    leaving_a_pool,
    beginning_a_lease,
    renewing_a_lease,
    the_end_of_what_a_lease_can_hold,
]


def rows(model: type[models.Model], *fields: str) -> list[tuple[Any, ...]]:
    return sorted(model._default_manager.values_list(*fields), key=repr)


def state() -> dict[str, object]:
    """All that counts, without what is a new number each time."""
    holds = rows(Reservation, "state", "units", "held", "amounts", "cost_micros")
    return {
        "budgets": rows(Budget, "holder", "resource", "period", "limit", "removed_at"),
        "windows": rows(Window, "holder", "resource", "starts_at", "ends_at", "closed_at", "limit", "reserved",
                        "spent", "overrun", "exhausted_at"),
        # A lease that is begun twice was held twice, and the first hold released.
        "holds": [hold for hold in holds if hold[0] != "released"],
        "entries": rows(LedgerEntry, "kind", "project_id", "micros", "calls", "wall_seconds", "amounts"),
        "transfers": rows(Transfer, "amount", "state"),
        "rerated": Rerating.objects.aggregate(entries=Sum("entries"), micros=Sum("micros")),
        "requests": rows(BudgetRequest, "amount", "state", "granted"),
        "shares": rows(PoolMember, "project_id", "budget__limit", "left_at"),
        "leases": rows(Lease, "began_at", "until", "ended_at"),
        "machines": rows(Machine, "state"),
        "events": set(Event.objects.values_list("kind", flat=True)),
    }  # fmt: skip


def _disconnect() -> None:
    """What the end of a connection does, where the outermost transaction is the test's."""
    transaction.set_rollback(False)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock_all()")


def check() -> None:
    assert not ledger.verify()
    assert not Window.objects.filter(spent__gt=F("limit") - F("reserved")).exists()


def played(world: World, scene: Callable[[World], Verb], crashes: list[int]) -> tuple[dict[str, object], int]:
    """What it comes to when it is begun again after each crash, and how many statements the last attempt took."""
    with transaction.atomic():
        world.clock.move_to(START)
        prices.use(prices.Book())
        verb = scene(world)
        for after in crashes:
            dying = (_Crash, Conflict, transaction.TransactionManagementError)
            with suppress(*dying), connection.execute_wrapper(_Axe(after)):
                verb()
            _disconnect()
            check()
        counting = _Axe(0)
        with (
            suppress(Conflict),
            connection.execute_wrapper(counting),
        ):  # it may have been done, and only not said
            verb()
        check()
        found = state()
        transaction.set_rollback(True)
    return found, counting.executed


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__.replace("_", " "))
def test_a_crash_after_any_statement_changes_nothing_in_the_end(
    world: World, scene: Callable[[World], Verb], request: pytest.FixtureRequest
) -> None:
    undisturbed, statements = played(world, scene, [])
    assert statements > 0
    for after in range(1, statements + 1):
        assert played(world, scene, [after])[0] == undisturbed, f"after statement {after} of {statements}"
    if request.config.getoption("--whole"):
        for first in range(1, statements + 1):
            for second in range(1, statements + 1):
                assert played(world, scene, [first, second])[0] == undisturbed, f"{first}, then {second}"
