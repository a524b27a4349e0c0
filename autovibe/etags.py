"""ETags: of whatever a GET answers in JSON, so that it is sent once, and asked for by `If-Match` before it is changed.

A tag is a hash of the answer. No view has to know of it, and it changes just when what is shown does.
"""

import hashlib
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db import connection, transaction
from django.http import HttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import parse_etags
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from projects.errors import Refusal

Handler = Callable[..., Response]


class Changed(Refusal):
    """It is not any more what the caller has seen."""

    status = 412
    type = "precondition-failed"


def of(content: bytes) -> str:
    return f'"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'


def tag(request: Request, response: Response) -> None:
    """Give what a GET answers its tag, and answer 304 to who has it (`If-None-Match`)."""
    if request.method in ("GET", "HEAD") and response.status_code == 200:
        response.add_post_render_callback(lambda rendered: _tagged(request, rendered))


def _tagged(request: Request, response: Response) -> HttpResponse | None:
    response["ETag"] = of(response.content)
    response["Cache-Control"] = (
        "private, no-cache"  # it may be kept, and is asked for before it is used again
    )
    found = get_conditional_response(request._request, etag=response["ETag"], response=response)
    return None if found is response else found


def guarded(handler: Handler) -> Handler:
    """The handler of a PUT, PATCH or DELETE, which heeds `If-Match`. Of two with the same tag, one wins."""

    @wraps(handler)
    def update(view: APIView, request: Request, *args: Any, **kwargs: Any) -> Response:
        wanted = request.headers.get("If-Match")
        if wanted is None:
            return handler(view, request, *args, **kwargs)
        with transaction.atomic():
            _take_turns(request.path)
            _compare(view, request, wanted, *args, **kwargs)
            return handler(view, request, *args, **kwargs)

    return update


def _take_turns(path: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [path])


def _compare(view: APIView, request: Request, wanted: str, *args: Any, **kwargs: Any) -> None:
    """Raises `Changed`, with what there is now."""
    show = getattr(view, "get", None)
    if show is None:
        raise Changed("There is no GET at this address, so nothing to compare with; leave If-Match out.")
    current = show(request, *args, **kwargs).data
    now = of(JSONRenderer().render(current, "application/json"))
    if wanted.strip() != "*" and now not in parse_etags(wanted):
        raise Changed("It has changed since you looked.", headers={"ETag": now}, current=current)
