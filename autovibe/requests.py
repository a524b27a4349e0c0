"""What every request gets first: an id, for its answer and for every problem, and a look at its address.

A proxy's own id is kept.
"""

import re
import uuid
from collections.abc import Callable
from urllib.parse import unquote

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.views.defaults import bad_request

from autovibe import problems

ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{8,64}")
NUL = "The address holds a NUL character."  # and PostgreSQL takes none in a text, wherever it may lead


class RequestIdMiddleware:
    """Puts `request_id` on the request and `X-Request-Id` on the answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-Id", "")
        request.request_id = given if ACCEPTABLE.fullmatch(given) else uuid.uuid4().hex  # type: ignore[attr-defined]
        response = _refuse(request) if _holds_nul(request) else self._get_response(request)
        response["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        return response


def _holds_nul(request: HttpRequest) -> bool:
    """In its path, its query, or a cookie: those may be quoted, in octal."""
    said = (request.path, unquote(request.META.get("QUERY_STRING", "")), *request.COOKIES.values())
    return any("\x00" in each for each in said)


def _refuse(request: HttpRequest) -> HttpResponse:
    if request.path.startswith("/api/"):
        return problems.problem(400, "invalid", NUL, request)
    return bad_request(request, BadRequest(NUL))
