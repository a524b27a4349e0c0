"""What every request gets first: an id, for its answer and for every problem, and a look at its address.

The id that a proxy of ours gave is kept; a client's own is not, or it could put its acts under another's. Address and
id are known to the events that the request leads to (`events.context`).
"""

import re
import uuid
from collections.abc import Awaitable, Callable
from functools import wraps
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.views.defaults import bad_request

from autovibe import problems
from events import context
from events.context import Interface, Source

Scope = dict[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]

ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{8,64}")
INTERFACES = {
    "/api/": Interface.API,
    "/admin/": Interface.ADMIN,
    "/mcp": Interface.MCP,
    "/v1/": Interface.GATEWAY,
    "/guest/": Interface.GATEWAY,
}
NUL = "The address holds a NUL character."  # and PostgreSQL takes none in a text, wherever it may lead


class RequestIdMiddleware:
    """Puts `request_id` on the request and `X-Request-Id` on the answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.request_id = _given(request) or uuid.uuid4().hex  # type: ignore[attr-defined]
        with context.calling(_source(request)):
            response = refuse(request, NUL) if _holds_nul(request) else self._get_response(request)
        response["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        return response


def known(application: Application) -> Application:
    """Wrap the ASGI application: the peer is the client, wherever proxies stand between, and events know of it."""

    @wraps(application)
    async def wrapped(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await application(scope, receive, send)
            return
        client = _client(scope)
        address = client[0] if client else ""
        source = Source(interface=_interface(scope["path"]), address=address, request_id=uuid.uuid4().hex)
        with context.calling(source):
            await application({**scope, "client": client}, receive, send)

    return wrapped


def _client(scope: Scope) -> tuple[str, int] | None:
    """What the outermost of our `TRUSTED_PROXIES` saw. Whatever stands before that, clients made up."""
    peer: tuple[str, int] | None = scope.get("client")
    lines = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    passed = [part.strip() for part in ",".join(lines).split(",") if part.strip()][
        -settings.TRUSTED_PROXIES :
    ]
    if not settings.TRUSTED_PROXIES or not passed:
        return peer
    try:
        return str(ip_address(passed[0])), 0
    except ValueError:
        return peer


def _interface(path: str) -> str:
    return next((name for prefix, name in INTERFACES.items() if path.startswith(prefix)), Interface.PAGE)


def _given(request: HttpRequest) -> str:
    """The id that one of our `TRUSTED_PROXIES` has given it."""
    given = request.headers.get("X-Request-Id", "")
    return given if settings.TRUSTED_PROXIES and ACCEPTABLE.fullmatch(given) else ""


def _source(request: HttpRequest) -> Source:
    """Of the request. What came in by another door, and is passed on to the API, keeps that one."""
    return Source(
        interface=context.current().interface or _interface(request.path),
        address=request.META.get("REMOTE_ADDR", ""),
        request_id=request.request_id,  # type: ignore[attr-defined]
    )


def _holds_nul(request: HttpRequest) -> bool:
    """In its path, its query, or a cookie: those may be quoted, in octal."""
    said = (request.path, unquote(request.META.get("QUERY_STRING", "")), *request.COOKIES.values())
    return any("\x00" in each for each in said)


def refuse(request: HttpRequest, sentence: str) -> HttpResponse:
    """400, because of what `sentence` says: a problem of the API, or a page."""
    if request.path.startswith("/api/"):
        return problems.problem(400, "invalid", sentence, request)
    return bad_request(request, BadRequest(sentence))
