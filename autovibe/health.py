"""`/healthz`: which parts are alive, for people, supervisors and load balancers."""

from datetime import timedelta

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone

from guests.models import Guest

# Workers and the hub name their database connections so (PGAPPNAME); a living connection is a living process.
PROCESSES = {"worker": "autovibe worker", "hub": "autovibe hub"}
OBSERVED_WITHIN = timedelta(seconds=30)


def healthz(request: HttpRequest) -> JsonResponse:
    """200 when all is well, 503 otherwise; the body names every part either way."""
    parts = {"web": "ok", **_parts()}
    return JsonResponse(parts, status=200 if set(parts.values()) == {"ok"} else 503)


def _parts() -> dict[str, str]:
    try:
        connected = _connected()
        seen = (
            Guest.objects.order_by("-observed_at")
            .exclude(observed_at=None)
            .values_list("observed_at", flat=True)
        )
        last = seen.first()
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


def _connected() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database()"
        )
        return {row[0] for row in cursor.fetchall()}
