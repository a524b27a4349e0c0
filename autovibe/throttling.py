"""How often one caller may call the API: so many times a minute, counted in PostgreSQL for all processes together.

The headers are those of draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy` says the rule, `RateLimit` what
is left of it.
"""

import math
from typing import NamedTuple

from django.conf import settings
from django.db import connection
from django.http.response import HttpResponseBase
from rest_framework.exceptions import Throttled
from rest_framework.request import Request

from autovibe import caller

SECONDS = 60
# One statement, so that no call is lost between two processes; the row is locked for as long as it takes.
_COUNT = """
INSERT INTO autovibe_callcount AS of (caller, began_at, calls) VALUES (%(caller)s, clock_timestamp(), 1)
ON CONFLICT (caller) DO UPDATE SET
    began_at = CASE WHEN of.began_at < clock_timestamp() - interval '1 minute' THEN clock_timestamp()
        ELSE of.began_at END,
    calls = CASE WHEN of.began_at < clock_timestamp() - interval '1 minute' THEN 1 ELSE of.calls + 1 END
RETURNING calls, extract(epoch FROM began_at + interval '1 minute' - clock_timestamp())
"""
_FORGET = "DELETE FROM autovibe_callcount WHERE began_at < clock_timestamp() - interval '1 hour'"


class Rate(NamedTuple):
    """What a caller has left of the present minute."""

    most: int
    left: int  # below 0: beyond it
    seconds: int  # until there is the full rate again


def count(request: Request) -> None:
    """Count one call; `tell` says on its answer what is left. Raises `Throttled` (429) when nothing is."""
    most = settings.API_RATE
    if not most:
        return
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"caller": caller.name_of(request)})
        calls, left = cursor.fetchone()
        if calls == 1:  # once in a while
            cursor.execute(_FORGET)
    rate = Rate(most, most - calls, math.ceil(max(left, 1)))
    request.rate = rate  # type: ignore[attr-defined]
    if rate.left < 0:
        raise Throttled(wait=rate.seconds)


def tell(request: Request, response: HttpResponseBase) -> None:
    """Put on the answer what the caller has left."""
    rate: Rate | None = getattr(request, "rate", None)
    if rate:
        response["RateLimit-Policy"] = f'"default";q={rate.most};w={SECONDS}'
        response["RateLimit"] = f'"default";r={max(rate.left, 0)};t={rate.seconds}'
