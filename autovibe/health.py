"""`/healthz`: which parts are alive, for people, supervisors and load balancers."""

from datetime import timedelta

from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse
from django.utils import timezone

from guests.models import Guest
from operations import processes

OBSERVED_WITHIN = timedelta(seconds=30)


def healthz(request: HttpRequest) -> JsonResponse:
    """200 when all is well, 503 otherwise; the body names every part either way."""
    found = {"web": "ok", **parts()}
    return JsonResponse(found, status=200 if set(found.values()) == {"ok"} else 503)


def parts() -> dict[str, str]:
    """Each part with "ok", or what is the matter with it."""
    try:
        alive, last = processes.alive(), Guest.last_observed_at()
    except DatabaseError as error:
        return {"database": str(error).strip().splitlines()[0]}
    recent = last is not None and timezone.now() - last < OBSERVED_WITHIN
    return {
        "database": "ok",
        **{name: "ok" if name in alive else "not connected" for name in processes.PROCESSES},
        "node": "ok"
        if recent
        else f"not heard from since {last:%H:%M:%S} UTC"
        if last
        else "not heard from yet",
    }
