"""The side of `benchmarks.api` that is Django: makes a fleet, asks for it, and says what that cost.

python -m benchmarks.api_worker DATABASE_URL MACHINES REQUESTS
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil

from benchmarks.gateway_rows import prepare

WARM_UP = 5


def make_fleet(machines: int) -> Any:
    """The owner of a fleet that left checkpoints, ledger entries and calls."""
    from django.db import connection

    from projects.models import User
    from tests.scenes import busy

    owner = User.objects.create_user("benchmark")
    busy.make_fleet(machines, owner)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return owner


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
