"""The page for what nobody caught; the API has its own answer (`autovibe.problems`)."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.views.defaults import server_error

RETRY_SECONDS = 2


def page(request: HttpRequest) -> HttpResponse:
    """500; or 503 where the database is away, for that is nobody's fault and passes. Neither asks the database."""
    if not isinstance(sys.exception(), OperationalError | InterfaceError):
        return server_error(request)
    answer = HttpResponse(loader.get_template("503.html").render(), status=503)
    answer.headers["Retry-After"] = str(RETRY_SECONDS)
    return answer
