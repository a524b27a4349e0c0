"""Refusals and errors as `application/problem+json` (RFC 9457): a stable type, a sentence, a request id."""

from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView, exception_handler

from projects.errors import NotThere, Refusal

TYPES = {400: "invalid", 401: "unauthenticated", 403: "forbidden", 404: "not-found", 405: "method-not-allowed",
         415: "unsupported-media-type", 429: "rate-limited"}  # fmt: skip


class NoSuchPath(APIView):
    """What the API answers where it has nothing: a problem too, and not a page."""

    permission_classes = ()
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotThere(f"The API has no {request.path}. See /api/schema/ for what it has.")


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler."""
    if isinstance(error, Refusal):
        return _problem(error.status, error.type, str(error), context)
    response = exception_handler(error, context)
    if response is None:
        return None
    kind = TYPES.get(response.status_code, "error")
    problem = _problem(response.status_code, kind, _sentence(error), context)
    if isinstance(error, exceptions.ValidationError):
        problem.data["errors"] = error.detail
    for name in ("Allow", "Retry-After", "WWW-Authenticate"):
        if name in response.headers:
            problem.headers[name] = response.headers[name]
    return problem


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


def _problem(status: int, kind: str, sentence: str, context: dict[str, Any]) -> Response:
    request = context.get("request")
    body = {
        "type": f"urn:autovibe:{kind}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": sentence,
        "request_id": getattr(request, "request_id", None) if request else None,
    }
    return Response(body, status=status, content_type="application/problem+json")
