"""The side of `benchmarks.pages` that is Django: what pages cost the server, and a writer that changes what they show.

    python -m benchmarks.pages_worker cost REQUESTS < IDS
    python -m benchmarks.pages_worker write
    python -m benchmarks.pages_worker people COUNT

The writer takes a line of JSON for each change, and answers with the moment of its commit.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

BASELINE = "a page of nothing"
SMALLEST = "/sign-in/closed/"
WARM_UP = 2


def cost(requests: int) -> dict[str, dict[str, float]]:
    """Of each page: queries, server time and bytes, by a client inside this process, for the admin."""
    from django.test import Client

    from projects.models import User
    from tests.pages.addresses import PAGES

    browser = Client(raise_request_exception=False)
    browser.force_login(User.objects.get(username="admin"), "django.contrib.auth.backends.ModelBackend")
    ids = json.loads(sys.stdin.read())
    asked = {
        page.name: page.at("", ids)
        for page in PAGES
        if page.signed_in and page.is_in(ids) and page.status == 200
    }
    paths = {BASELINE: SMALLEST, **asked}
    return {name: _cost(partial(browser.get, path), requests) for name, path in paths.items()}


def _cost(ask: Callable[[], Any], requests: int) -> dict[str, float]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    for _ in range(WARM_UP):
        answer = ask()
    with CaptureQueriesContext(connection) as asked:
        ask()
    queries = len(asked)  # the next request forgets them
    took = []
    for _ in range(requests):
        began = time.perf_counter()
        ask()
        took.append((time.perf_counter() - began) * 1000)
    return {
        "status": answer.status_code,
        "queries": queries,
        "p50_ms": statistics.median(took),
        "p95_ms": statistics.quantiles(took, n=20, method="inclusive")[-1],
        "kib": len(answer.content) / 1024,
    }


def write() -> None:
    """Carry out what is asked, one line after the other."""
    for line in sys.stdin:
        asked = json.loads(line)
        VERBS[asked.pop("do")](**asked)
        print(json.dumps(time.time() * 1000), flush=True)


def people(count: int) -> list[str]:
    """The session keys of that many who may see everything: one of them may not have as many sockets."""
    from django.test import Client

    from projects.models import User

    found = [User.objects.create(username=f"viewer-{at}", is_superuser=True) for at in range(count)]
    return [_session_of(Client(), user) for user in found]


def _session_of(client: Any, user: Any) -> str:
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    return str(client.cookies["sessionid"].value)


def _tick(handle: str, text: str) -> None:
    """A machine is called otherwise, and whoever looks at it hears of it."""
    from django.db import transaction

    from events import actions as events
    from machines.models import Machine

    with transaction.atomic():
        found = Machine.objects.filter(number=int(handle[1:]))
        found.update(prompt=text)
        machine = found.get()
        events.record("machine.running", subject=machine.subject, project_id=machine.project_id)


def _burst(handle: str, lines: int) -> None:
    """Its agent prints that many lines at once, as the gateway writes them."""
    from django.db import transaction
    from django.utils import timezone

    from events import actions as events
    from machines.models import LogLine, Machine

    machine, now = Machine.objects.get(number=int(handle[1:])), timezone.now()
    first = machine.log.count() + 1
    assert machine.run
    with transaction.atomic():
        LogLine.objects.bulk_create(
            LogLine(
                machine=machine, run=machine.run, number=first + at, at=now, stream="out", text=f"line {at}"
            )
            for at in range(lines)
        )
        events.ring("log", subject=machine.subject, project_id=machine.project_id)


VERBS: dict[str, Callable[..., None]] = {"tick": _tick, "burst": _burst}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "autovibe.settings")
    import django
    from django.conf import settings

    django.setup()
    settings.ALLOWED_HOSTS = ["testserver"]
    if sys.argv[1] == "write":
        write()
    else:
        print(json.dumps({"cost": cost, "people": people}[sys.argv[1]](int(sys.argv[2]))))


if __name__ == "__main__":
    main()
