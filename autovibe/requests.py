"""A request id for every request, in the answer's header and in every problem; a proxy's own is kept."""

import re
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestIdMiddleware:
    """Puts `request_id` on the request and `X-Request-Id` on the answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-Id", "")
        request.request_id = given if ACCEPTABLE.fullmatch(given) else uuid.uuid4().hex  # type: ignore[attr-defined]
        response = self._get_response(request)
        response["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        return response
