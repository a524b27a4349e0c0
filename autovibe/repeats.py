"""Forms that are sent twice are done once: by a double click, a browser that asks again, or Back and the button.

A form carries a key (`dashboard.once`). The second sending of the same form waits for the first one's answer, and is
answered like it. What was refused is not kept: nothing was done. A form that was changed since is another one.
"""

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

from autovibe.idempotency import KEY_MAX, PATIENCE_SECONDS, PURPOSE
from autovibe.models import KeptAnswer
from dashboard import once
from gateway import secrets
from projects.models import User

SAID = "This form was sent before and was not done again. What you see is what it led to."
_TURNS = 0x6F6E  # class of the advisory locks that one sending of a form holds while it is answered
_LOOK_SECONDS = 0.05
_NOT_ANSWERS = frozenset({"csrfmiddlewaretoken", once.FIELD})
_HEADERS = frozenset({"content-type", "location", "cache-control"})


class RepeatsMiddleware:
    """Stands innermost, so that whoever may not do it has been refused, and forged forms have been, too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        digest = getattr(request, "_once", None)
        if digest is None:
            return response
        try:
            if getattr(request, "_once_is_done", True):
                _keep(digest, response)
        finally:
            _ask("SELECT pg_advisory_unlock(%s, %s)", digest)
        return response

    def process_view(self, request: HttpRequest, view: Any, *arguments: Any) -> HttpResponse | None:
        """The kept answer, or None for the first sending, whose turn it is from now on."""
        digest = None if getattr(view, "changes_nothing", False) else _digest(request)
        if digest is None:
            return None
        if not _has_turn(digest):
            return render(request, "409.html", status=409)
        request._once = digest  # type: ignore[attr-defined]
        kept = KeptAnswer.objects.filter(pk=digest).first()
        if kept is None:
            return None
        request._once_is_done = False  # type: ignore[attr-defined]
        return _again(request, kept)

    def process_exception(self, request: HttpRequest, error: Exception) -> None:
        """A view that was left by an exception has done nothing, whatever it is answered with."""
        request._once_is_done = False  # type: ignore[attr-defined]


def _digest(request: HttpRequest) -> str | None:
    """What this sending of the form is known by; None where nothing is asked for, or by nobody."""
    key = request.POST.get(once.FIELD, "") if request.method == "POST" else ""
    if not key or len(key) > KEY_MAX or not isinstance(request.user, User):
        return None
    said = {name: request.POST.getlist(name) for name in sorted(request.POST) if name not in _NOT_ANSWERS}
    parts = ["form", str(request.user.pk), request.get_full_path(), key, json.dumps(said)]
    digest = hashlib.sha256("\n".join(parts).encode(errors="surrogatepass"))
    for name in sorted(request.FILES):
        for file in request.FILES.getlist(name):
            digest.update(f"\n{name} {file.name} {file.size} ".encode())
            for chunk in file.chunks():
                digest.update(chunk)
            file.seek(0)
    return digest.hexdigest()


def _has_turn(digest: str) -> bool:
    """Whether no other sending of the form is being answered any more, within our patience."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not _ask("SELECT pg_try_advisory_lock(%s, %s)", digest):
        if time.monotonic() > until:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def _ask(sql: str, digest: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(sql, [_TURNS, int(digest[:8], 16) - 2**31])
        return bool(cursor.fetchone()[0])


def _keep(digest: str, response: HttpResponseBase) -> None:
    if response.status_code >= 400 or not isinstance(response, HttpResponse):
        return
    KeptAnswer.forget_old()
    headers = {name: value for name, value in response.items() if _is_answer(name)}
    answer = {"headers": headers, "body": response.content.decode("latin-1")}
    sealed = secrets.seal(PURPOSE, json.dumps(answer).encode())
    KeptAnswer.objects.create(digest=digest, status=response.status_code, sealed=sealed)


def _is_answer(header: str) -> bool:
    return header.lower() in _HEADERS or header.lower().startswith("hx-")


def _again(request: HttpRequest, kept: KeptAnswer) -> HttpResponse:
    try:
        answer = json.loads(secrets.unseal(PURPOSE, bytes(kept.sealed)))
    except secrets.Unreadable:
        return render(request, "409.html", status=409)
    if 300 <= kept.status < 400:
        messages.info(request, SAID)
    return HttpResponse(answer["body"].encode("latin-1"), status=kept.status, headers=answer["headers"])
