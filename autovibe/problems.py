"""Refusals and errors as `application/problem+json` (RFC 9457): a stable type, a sentence, a request id."""

import json
import logging
from http import HTTPStatus
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder
from rest_framework.views import APIView, exception_handler

from projects.errors import NotThere, Refusal

logger = logging.getLogger(__name__)

TYPES = {400: "invalid", 401: "unauthenticated", 403: "forbidden", 404: "not-found", 405: "method-not-allowed",
         406: "not-acceptable", 415: "unsupported-media-type", 429: "rate-limited"}  # fmt: skip


class NoSuchPath(APIView):
    """What the API answers where it has nothing: a problem too, and not a page."""

    permission_classes = ()
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotThere(f"The API has no {request.path}. See /api/schema/ for what it has.")


def handle(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """DRF's exception handler. It has an answer to everything, so that no client of the API ever gets a page."""
    request: Request | None = context.get("request")
    if isinstance(error, Refusal):
        refused = problem(error.status, error.type, str(error), request, **error.more)
        for name, value in error.headers.items():
            refused[name] = value
        return refused
    if response := exception_handler(error, context):
        return _of_rest_framework(error, response, request)
    if isinstance(error, SuspiciousOperation | BadRequest):
        return problem(400, "invalid", str(error), request)
    if isinstance(error, OperationalError | InterfaceError):
        logger.error("Request %s: the database is away: %s", _id(request), error)
        away = problem(503, "unavailable", "The database is away; try again in a moment.", request)
        away.headers["Retry-After"] = "2"
        return away
    logger.exception("Request %s failed", _id(request))
    sentence = f"autovibe failed at this; its log says more under {_id(request)}."
    return problem(500, "internal", sentence, request)


def problem(
    status: int, kind: str, sentence: str, request: Request | HttpRequest | None, **more: Any
) -> HttpResponse:
    """An answer in JSON, whatever the client would rather have."""
    body = {
        "type": f"urn:autovibe:{kind}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": sentence,
        "request_id": _id(request),
        **more,
    }
    # Halves of surrogate pairs, which JSON may hold and UTF-8 may not, come back where a refusal quotes them.
    content = json.dumps(body, ensure_ascii=False, cls=JSONEncoder).encode(errors="replace")
    return HttpResponse(content, status=status, content_type="application/problem+json")


def _of_rest_framework(error: Exception, response: Response, request: Request | None) -> HttpResponse:
    more = {"errors": error.detail} if isinstance(error, exceptions.ValidationError) else {}
    kind = TYPES.get(response.status_code, "error")
    answer = problem(response.status_code, kind, _sentence(error), request, **more)
    for name in ("Allow", "Retry-After", "WWW-Authenticate"):
        if name in response.headers:
            answer.headers[name] = response.headers[name]
    return answer


def _id(request: Request | HttpRequest | None) -> str | None:
    return getattr(request, "request_id", None)


def _sentence(error: Exception) -> str:
    if isinstance(error, exceptions.ValidationError):
        return " ".join(_sentences(error.detail))
    if isinstance(error, PermissionDenied | exceptions.PermissionDenied):
        return "You may see this, but not do that. Ask an owner of the project."
    if isinstance(error, Http404):
        return "There is no such thing, or none that you may see."
    return str(getattr(error, "detail", error))


def _sentences(detail: Any, field: str = "") -> list[str]:
    if isinstance(detail, dict):
        return [sentence for name, inner in detail.items() for sentence in _sentences(inner, str(name))]
    if isinstance(detail, list):
        return [sentence for inner in detail for sentence in _sentences(inner, field)]
    return [f"{field}: {detail}" if field and field != "non_field_errors" else str(detail)]
