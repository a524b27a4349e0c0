"""Whose pages may open a socket here: ours, and those of `CSRF_TRUSTED_ORIGINS`. Who is signed in is not asked here.

A browser sends our cookies with every page's handshake, those of another port of this host included, and a socket has
no CSRF token. So the page's origin is compared as Django compares that of a form.
"""

from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.utils.http import is_same_domain

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

_SCHEMES = {"ws": "http", "wss": "https"}
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def same_origin(application: Application) -> Application:
    """The application of WebSockets, for our own pages only; others are answered 403."""

    async def checked(scope: dict[str, Any], receive: Any, send: Any) -> None:
        answering = application if _is_ours(_handshake(scope)) else WebsocketDenier()
        await answering(scope, receive, send)

    return checked


def _handshake(scope: dict[str, Any]) -> HttpRequest:
    """As the request that it is, so that Django tells the host, and whether a proxy ended TLS."""
    scheme = _SCHEMES[scope.get("scheme", "ws")]
    return ASGIRequest({**scope, "method": "GET", "scheme": scheme, "query_string": b""}, BytesIO())


def _is_ours(request: HttpRequest) -> bool:
    origin = request.headers.get("Origin")
    return origin is not None and (origin == _asked_for(request) or _is_trusted(origin))


def _asked_for(request: HttpRequest) -> str | None:
    """The origin that the handshake went to, as a browser writes it; None when its host is none of ours."""
    scheme = request.scheme or ""
    try:
        host = request.get_host().lower()
    except DisallowedHost:
        return None
    return f"{scheme}://{host.removesuffix(_DEFAULT_PORTS[scheme])}"


def _is_trusted(origin: str) -> bool:
    try:
        asks = urlsplit(origin)
    except ValueError:
        return False
    trusted = map(urlsplit, settings.CSRF_TRUSTED_ORIGINS)
    return any(
        asks.scheme == ours.scheme and is_same_domain(asks.netloc, ours.netloc.lstrip("*"))
        for ours in trusted
    )
