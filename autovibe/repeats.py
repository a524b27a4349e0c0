"""Forms that are sent twice are done once: by a double click, a browser that asks again, or Back and the button.

A form carries a key (`dashboard.once`). The second sending of the same form waits for the first one's answer, and is
led where that one led. No answer itself is kept: it may hold a secret, or what its reader may not see any more. What
was refused is not kept either: nothing was done. A form that was changed since is another one.
"""

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.contrib.messages.storage.fallback import FallbackStorage
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import Resolver404, resolve
from django.utils.http import url_has_allowed_host_and_scheme

from autovibe import requests
from autovibe.idempotency import KEY_MAX, PATIENCE_SECONDS
from autovibe.models import KeptAnswer
from dashboard import once
from projects.models import User

SAID = "This form was sent before and was not done again. What you see is what it led to."
DONE = "This form was sent before; it was done once. Open the page again to see what it led to."
UNDER_WAY = (
    "This form was sent before, and is still being answered. Look at what there is before you ask again."
)
NUL = "The form holds a NUL character."  # and PostgreSQL takes none in a text, whichever field it may be
_TURNS = 0x6F6E  # class of the advisory locks that one sending of a form holds while it is answered
_LOOK_SECONDS = 0.05
_NOT_ANSWERS = frozenset({"csrfmiddlewaretoken", once.FIELD})
_SECRETS = frozenset({"code", "key"})  # parts of our addresses that open what they name
_LOCATION_MAX = 200  # characters, as the column has


class Messages(FallbackStorage):
    """Django's messages; where one tells of an error, what the form asked for was refused."""

    def add(self, level: int, message: str, extra_tags: str | None = "") -> None:
        """Raises what the storage does."""
        if level >= messages.ERROR:
            once.was_not_done(self.request)
        super().add(level, message, extra_tags)


class RepeatsMiddleware:
    """Stands innermost, so that whoever may not do it has been refused, and forged forms have been, too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            response = self._get_response(request)
            digest = getattr(request, "_once", None)
            if digest and response.status_code < 400 and once.is_done(request):
                _keep(request, digest, response)
            return response
        finally:
            if digest := getattr(request, "_once", None):
                _ask("SELECT pg_advisory_unlock(%s, %s)", digest)

    def process_view(self, request: HttpRequest, view: Any, *arguments: Any) -> HttpResponse | None:
        """What a repeat is answered, or None for the first sending, whose turn it is from now on."""
        if getattr(view, "csrf_exempt", False):  # the API reads what it is sent by itself
            return None
        if any("\x00" in text for _, texts in request.POST.lists() for text in texts):
            return requests.refuse(request, NUL)
        digest = None if getattr(view, "changes_nothing", False) else _digest(request)
        if digest is None:
            return None
        if not _has_turn(digest):
            return _tell(request, UNDER_WAY)
        request._once = digest  # type: ignore[attr-defined]
        KeptAnswer.forget_old()
        kept = KeptAnswer.objects.filter(pk=digest).first()
        return _again(request, kept) if kept else None

    def process_exception(self, request: HttpRequest, error: Exception) -> None:
        """A view that was left by an exception has done nothing, whatever it is answered with."""
        once.was_not_done(request)


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


def _keep(request: HttpRequest, digest: str, response: HttpResponseBase) -> None:
    """That it was done, and the page that it led to."""
    to = response.get("Location", "")
    location = to if _is_open(request, to) else ""
    KeptAnswer.objects.create(digest=digest, status=response.status_code, location=location)


def _is_open(request: HttpRequest, location: str) -> bool:
    """Whether it is the address of a page of ours, which decides by itself who sees it, and is no secret."""
    if len(location) > _LOCATION_MAX:
        return False
    if not url_has_allowed_host_and_scheme(location, allowed_hosts={request.get_host()}):
        return False
    try:
        return _SECRETS.isdisjoint(resolve(urlsplit(location).path).kwargs)
    except Resolver404:
        return False


def _again(request: HttpRequest, kept: KeptAnswer) -> HttpResponse:
    once.was_not_done(request)
    if not kept.location:
        return _tell(request, DONE)
    messages.info(request, SAID)
    return redirect(kept.location)


def _tell(request: HttpRequest, sentence: str) -> HttpResponse:
    """As a page; a script shows the words themselves."""
    if "HX-Request" in request.headers:
        return HttpResponse(sentence, status=409, content_type="text/plain; charset=utf-8")
    return render(request, "409.html", {"sentence": sentence}, status=409)
