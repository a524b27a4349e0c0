"""`Idempotency-Key` on every POST: the same request again is answered as the first time, and nothing is done twice.

What is done and the answer to it are committed together, so a request whose answer got lost can be sent again,
whatever crashed. What was refused is not kept: nothing was done. See draft-ietf-httpapi-idempotency-key-header.
"""

import hashlib
import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from autovibe import caller
from autovibe.models import KeptAnswer
from gateway import secrets
from projects.errors import Conflict, Invalid, Refusal

Handler = Callable[..., Response]
HEADER = "Idempotency-Key"
KEY_MAX = 100
PATIENCE_SECONDS = 5
PURPOSE = "kept answers"


class OtherBody(Refusal):
    """The key was used before, for something else."""

    status = 422
    type = "idempotency-key-reused"


class UnderWay(Conflict):
    """The first request with the key has not been answered yet."""

    type = "in-progress"


def once(handler: Handler) -> Handler:
    """The handler of a POST, which does with each key what it does once.

    A view whose `asks_outside` is set waits for other servers, which no transaction may; it takes no key.
    """

    @wraps(handler)
    def post(view: APIView, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get(HEADER)
        if not key or not request.user.is_authenticated:
            return handler(view, request, *args, **kwargs)
        _check(view, key)
        # On its own, so that nobody waits for these rows until the handler is through.
        KeptAnswer.forget_old()
        with transaction.atomic():
            kept = _claim(request, key)
            if kept.status:
                return _again(kept, request)
            response = handler(view, request, *args, **kwargs)
            _keep(kept, response)
        return response

    return post


def _check(view: APIView, key: str) -> None:
    if len(key) > KEY_MAX:
        raise Invalid(f"An {HEADER} has at most {KEY_MAX} characters.")
    if getattr(view, "asks_outside", False):
        raise Invalid(f"This takes no {HEADER}: it asks another server each time, and changes nothing here.")


def _claim(request: Request, key: str) -> KeptAnswer:
    """The row of this key, locked: new and ours, or with the answer that was given. Raises `UnderWay`, `OtherBody`."""
    digest = _digest(caller.name_of(request), request.get_full_path(), key)
    body = hashlib.sha256(request.body).hexdigest()
    try:
        _insert(digest, body)
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            sentence = f"The first request with this {HEADER} is still under way; ask again in a moment."
            raise UnderWay(sentence, headers={"Retry-After": "1"}) from None
        raise
    kept = KeptAnswer.objects.get(pk=digest)
    if kept.body_digest != body:
        raise OtherBody(f"This {HEADER} was used with another body; take a new one for a new request.")
    return kept


def _insert(digest: str, body: str) -> None:
    """Waits while another transaction is about to write the same row, but not for long."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{PATIENCE_SECONDS}s"])
        KeptAnswer.objects.bulk_create([KeptAnswer(digest=digest, body_digest=body)], ignore_conflicts=True)
        cursor.execute("SET LOCAL lock_timeout TO DEFAULT")


def _keep(kept: KeptAnswer, response: Response) -> None:
    if response.status_code >= 400:
        transaction.set_rollback(True)
        return
    kept.status = response.status_code
    kept.sealed = secrets.seal(PURPOSE, JSONRenderer().render(response.data))
    kept.location = response.get("Location", "")
    kept.save()


def _again(kept: KeptAnswer, request: Request) -> Response:
    try:
        body = secrets.unseal(PURPOSE, bytes(kept.sealed))
    except secrets.Unreadable:
        raise Conflict(
            "This was done, and its answer cannot be read any more; look at what there is."
        ) from None
    headers = {"Location": kept.location, "Retry-After": "1"} if kept.location else None
    return Response(json.loads(body) if body else None, status=kept.status, headers=headers)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
