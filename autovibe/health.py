"""`/healthz`: which parts are alive, for people, supervisors and load balancers."""

from datetime import datetime, timedelta

from django.db import DatabaseError, connection
from django.db.models import Max
from django.http import HttpRequest, JsonResponse
from django.utils import timezone

from guests.models import Guest

# Workers and the hub name their database connections so (PGAPPNAME); a living connection is a living process.
PROCESSES = {"worker": "autovibe worker", "hub": "autovibe hub"}
OBSERVED_WITHIN = timedelta(seconds=30)


def healthz(request: HttpRequest) -> JsonResponse:
    """200 when all is well, 503 otherwise; the body names every part either way."""
    found = {"web": "ok", **parts()}
    return JsonResponse(found, status=200 if set(found.values()) == {"ok"} else 503)


def parts() -> dict[str, str]:
    """Each part with "ok", or what is the matter with it."""
    try:
        connected, last = _connected(), proxmox_seen_at()
    except DatabaseError as error:
        return {"database": str(error).strip().splitlines()[0]}
    recent = last is not None and timezone.now() - last < OBSERVED_WITHIN
    return {
        "database": "ok",
        **{name: "ok" if title in connected else "not connected" for name, title in PROCESSES.items()},
        "node": "ok"
        if recent
        else f"not heard from since {last:%H:%M:%S} UTC"
        if last
        else "not heard from yet",
    }


def proxmox_seen_at() -> datetime | None:
    """When Proxmox last reported on a guest."""
    last: datetime | None = Guest.objects.aggregate(last=Max("observed_at"))["last"]
    return last


def _connected() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database()"
        )
        return {row[0] for row in cursor.fetchall()}
