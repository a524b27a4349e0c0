"""The side of `benchmarks.api` that is Django: makes a fleet, asks for it, and says what that cost.

python -m benchmarks.api_worker DATABASE_URL MACHINES REQUESTS
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psutil

from benchmarks.gateway_rows import prepare

PROJECTS = 10
BATCH = 2000
WARM_UP = 5
CHECKPOINTS, ENTRIES, CALLS = 3, 5, 2  # of each machine
LIVE = ("running", "paused")
STATES = ("running", "running", "paused", "terminated", "failed")


def make_fleet(machines: int) -> Any:
    """The owner of projects whose machines left checkpoints, ledger entries and calls."""
    from django.db import connection

    from projects import actions as projects
    from projects.models import User

    owner = User.objects.create_user("benchmark")
    homes = [projects.create(slug=f"project-{number}", by=owner) for number in range(PROJECTS)]
    sources = [_source(home, number) for number, home in enumerate(homes)]
    for first in range(0, machines, BATCH):
        _make_some(range(first, min(first + BATCH, machines)), homes, sources, owner)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return owner


def _source(project: Any, number: int) -> Any:
    from checkpoints import actions as checkpoints
    from guests.models import Guest

    template = Guest.objects.create(vmid=9000 + number, node="pve1", template=True, state="present")
    return checkpoints.genesis(project, template)


def _make_some(numbers: range, homes: list[Any], sources: list[Any], owner: Any) -> None:
    from django.utils import timezone

    from checkpoints.models import Checkpoint
    from gateway.models import Call
    from guests.models import Guest
    from machines.models import Machine
    from tests.budgets.rows import entry

    now = timezone.now()
    guests = Guest.objects.bulk_create(
        Guest(project=homes[n % PROJECTS], vmid=10_000 + n, node="pve1", state="present", observed_at=now)
        for n in numbers
    )
    machines = Machine.objects.bulk_create(
        Machine(
            number=n + 1, project=homes[n % PROJECTS], source=sources[n % PROJECTS], guest=guest, type="vibe",
            prompt=f"Write a program number {n} with tests, and make them pass.", state=STATES[n % len(STATES)],
            wall_seconds=14_400, created_by=owner, run_started_at=now - timedelta(days=3),
            heard_at=now + timedelta(days=1), ended_at=None if STATES[n % 5] in LIVE else now - timedelta(days=2),
        )
        for n, guest in zip(numbers, guests, strict=True)
    )  # fmt: skip
    Checkpoint.objects.bulk_create(
        Checkpoint(
            project=one.project, guest=one.guest, origin=one.subject, number=c, handle=f"{one.handle}.c{c}",
            kind="automatic", state="captured", why="After answer 1", parent=one.source, captured_at=now,
        )
        for one in machines
        for c in range(1, CHECKPOINTS + 1)
    )  # fmt: skip
    entries = [entry(one.project, now, machine_id=one.id) for one in machines for _ in range(ENTRIES)]
    type(entries[0]).objects.bulk_create(entries)
    Call.objects.bulk_create(
        Call(
            machine=one,
            number=c,
            reservation_id=uuid4(),
            model="claude-sonnet-4-5",
            state="done",
            started_at=now,
        )
        for one in machines
        for c in range(1, CALLS + 1)
    )


def measure(owner: Any, machines: int, requests: int) -> dict[str, dict[str, float]]:
    """What each kind of answer costs."""
    from django.test import Client
    from rest_framework.generics import RetrieveAPIView
    from rest_framework.test import APIRequestFactory, force_authenticate

    from projects.api.projects import ProjectSerializer
    from projects.models import ApiToken, Project

    class Bare(RetrieveAPIView[Project]):
        queryset = Project.objects.all()
        serializer_class = ProjectSerializer
        lookup_field = "slug"

    bare = Bare.as_view()

    def one_row() -> Any:
        request = APIRequestFactory().get("/")
        force_authenticate(request, owner)
        return bare(request, slug="project-0").render()

    signed = Client(headers={"Authorization": f"Bearer {ApiToken.mint(owner, 'benchmark')[1]}"})
    browser = Client()
    browser.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    kinds: dict[str, Callable[[], Any]] = {
        "bare": one_row,
        "list": lambda: signed.get("/api/v1/machines/"),
        "filtered": lambda: signed.get("/api/v1/machines/?project=project-1&state=running,paused"),
        "counts": lambda: signed.get("/api/v1/machines/counts/"),
        "detail": lambda: signed.get(f"/api/v1/machines/m{machines // 2}/"),
        "page": lambda: browser.get("/"),
    }
    return {kind: _cost(ask, requests) for kind, ask in kinds.items()}


def _cost(ask: Callable[[], Any], requests: int) -> dict[str, float]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    for _ in range(WARM_UP):
        answer = ask()
        assert answer.status_code == 200, answer.content
    with CaptureQueriesContext(connection) as asked:
        ask()
    queries = len(asked)  # before the next request forgets them
    backend = psutil.Process(connection.connection.info.backend_pid)
    before, python, took = _cpu(backend), time.process_time(), []
    for _ in range(requests):
        began = time.perf_counter()
        ask()
        took.append((time.perf_counter() - began) * 1000)
    python_ms = (time.process_time() - python) * 1000 / requests
    postgres_ms = (_cpu(backend) - before) * 1000 / requests
    return {
        "queries": queries,
        "cpu_ms": python_ms + postgres_ms,
        "python_ms": python_ms,
        "postgres_ms": postgres_ms,
        "p50_ms": statistics.median(took),
        "kib": len(answer.content) / 1024,
    }


def _cpu(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def main() -> None:
    database, machines, requests = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    prepare(database)
    from django.conf import settings

    settings.API_RATE = 10**9  # counted, and never reached
    settings.ALLOWED_HOSTS = ["testserver"]
    owner = make_fleet(machines)
    print(json.dumps(measure(owner, machines, requests)))


if __name__ == "__main__":
    main()
