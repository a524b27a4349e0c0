"""What holds for every view of the API, put upon all of them where they get their addresses.

Keys of POSTs (`autovibe.idempotency`), tags (`autovibe.etags`), rates (`autovibe.throttling`), unknown parameters
(`autovibe.parameters`), and where to look for what was begun. A view need not know of any.
"""

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from autovibe import etags, idempotency, parameters, throttling
from operations.begun import watched

Handler = Callable[..., Response]


class Conventional(APIView):
    """A view of the API with the conventions; see `on`."""

    def perform_authentication(self, request: Request) -> None:
        """Count the call, too: for its token, or, when nobody signed it, for its address."""
        try:
            super().perform_authentication(request)
        except AuthenticationFailed:
            throttling.count(request)
            raise
        throttling.count(request)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        parameters.check(self, request)

    def finalize_response(
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> Response:
        final = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[arg-type]
        throttling.tell(request, final)
        if isinstance(final, Response):
            etags.tag(request, final)
        return final


def on(patterns: Iterable[URLPattern | URLResolver]) -> list[URLPattern | URLResolver]:
    """The same addresses, whose views keep the conventions."""
    return [_kept(one) if isinstance(one, URLPattern) else one for one in patterns]


def _kept(pattern: URLPattern) -> URLPattern:
    view: type[APIView] | None = getattr(pattern.callback, "cls", None)
    if view is None:  # not one of REST framework's
        return pattern
    callback = conventional(view).as_view(**getattr(pattern.callback, "initkwargs", {}))
    return URLPattern(pattern.pattern, callback, pattern.default_args, pattern.name)


def conventional(view: type[APIView]) -> type[APIView]:
    """The view with the conventions."""
    methods: dict[str, Any] = {"__module__": view.__module__, "__doc__": inspect.getdoc(view)}
    if hasattr(view, "post"):
        methods["post"] = idempotency.once(_pointing(view.post))
    for name in ("put", "patch", "delete"):
        if hasattr(view, name):
            methods[name] = etags.guarded(_pointing(getattr(view, name)))
    return type(view.__name__, (Conventional, view), methods)


def _pointing(handler: Handler) -> Handler:
    """The handler, whose 202 says where the operation is that it began, and when to look there."""

    @wraps(handler)
    def begin(view: APIView, request: Request, *args: Any, **kwargs: Any) -> Response:
        with watched() as begun:
            response = handler(view, request, *args, **kwargs)
        if response.status_code == 202 and begun:
            response["Location"] = f"/api/v1/operations/{begun[-1]}/"
            response["Retry-After"] = "1"
        return response

    return begin
