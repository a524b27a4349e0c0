"""The side of `benchmarks.ledger` that is Django: makes the budgets, and places and settles holds on them.

python -m benchmarks.ledger_worker prepare|measure DATABASE_URL [PAIRS]
"""

import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from hashlib import md5
from typing import Any
from uuid import UUID, uuid4

import psutil

from benchmarks.gateway_rows import prepare

SLUG = "ledger"
MACHINE = UUID(md5(b"1").hexdigest())  # one of those that the ledger is filled with
MODEL = "claude-sonnet-4-5"
ENOUGH = 10**15
WARM_UP = 50


@dataclass(frozen=True)
class Cost:
    """Of one reserve and settle, in milliseconds: as waited for, and CPU of the PostgreSQL backend and of Python."""

    p50_ms: float
    p95_ms: float
    postgres_cpu_ms: float
    python_cpu_ms: float


def make_budgets() -> None:
    """A total for the machine and the project, a rate, and one for the whole system by the month."""
    from budgets import actions as budgets
    from projects import actions as projects
    from projects.models import User

    owner = User.objects.create_user("benchmark")
    project = projects.create(slug=SLUG, by=owner)
    of_project = budgets.Holder.of_project(project)
    budgets.change_limit(budgets.Holder.of_system(), "money", ENOUGH, by=owner, period="month")
    budgets.change_limit(of_project, "money", ENOUGH, by=owner)
    budgets.change_limit(of_project, "calls", ENOUGH, by=owner, period="hour")
    of_machine = budgets.Holder.of_machine(project, MACHINE, "Machine m1")
    budgets.change_limit(of_machine, "tokens", ENOUGH, by=owner)


def measure(pairs: int) -> Cost:
    """One pair after the other, as any caller does it."""
    from django.db import connection

    from budgets import actions as budgets
    from budgets.prices import price_of
    from projects.models import Project

    payer, price = budgets.Payer(Project.objects.get(slug=SLUG).id, MACHINE), price_of(MODEL)
    for _ in range(WARM_UP):
        _pair(payer, price)
    backend, us = psutil.Process(connection.connection.info.backend_pid), psutil.Process()
    before, took = (_cpu(backend), _cpu(us)), []
    for _ in range(pairs):
        began = time.perf_counter()
        _pair(payer, price)
        took.append((time.perf_counter() - began) * 1000)
    used = (_cpu(backend) - before[0], _cpu(us) - before[1])
    took.sort()
    return Cost(
        statistics.median(took), took[int(len(took) * 0.95)], used[0] * 1000 / pairs, used[1] * 1000 / pairs
    )


def _pair(payer: Any, price: Any) -> None:
    from budgets import actions as budgets
    from budgets.prices import Usage

    key = f"call:{uuid4()}"
    grant = budgets.reserve_call(
        key, payer=payer, price=price, input_tokens=10_000, output_tokens=2_000, seconds=900
    )
    assert isinstance(grant, budgets.Grant), grant
    usage = Usage(input_tokens=1200, cache_read_tokens=8000, output_tokens=300)
    budgets.settle(grant.reservation_id, usage, price)


def _cpu(process: psutil.Process) -> float:
    return float(sum(process.cpu_times()[:2]))


def main() -> None:
    what, database, *rest = sys.argv[1:]
    prepare(database)
    if what == "prepare":
        make_budgets()
    else:
        print(json.dumps(asdict(measure(int(rest[0])))))


if __name__ == "__main__":
    main()
