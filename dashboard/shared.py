"""One answer for all who ask the same at the same moment, as the open pages of many viewers do when they are told of a
change. Nobody gets what was made before they asked, so an answer is never old; nothing is kept for later.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import NamedTuple

from django.db import connection, transaction
from django.http import HttpResponse
from django.middleware.gzip import GZipMiddleware
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.text import compress_string

from dashboard import rights, snoozing
from dashboard.pages import PageRequest

KEPT_MAX = 64
LOCKS = 32


class _Made(NamedTuple):
    began: float
    content: bytes


class Answers:
    """Those made last, by what they depend on. Times are those of `time.monotonic`."""

    def __init__(self) -> None:
        self._made: OrderedDict[Hashable, _Made] = OrderedDict()
        self._reading = Lock()
        self._making = [Lock() for _ in range(LOCKS)]

    def get(self, key: Hashable, arrived: float, make: Callable[[], tuple[Hashable, bytes]]) -> bytes:
        """What `make` returns; it was called after `arrived`, by whoever came first.

        It says what its answer depends on: by then that may be another key.
        """
        with self._making[hash(key) % LOCKS]:
            made = self._known(key)
            if made is None or made.began < arrived:
                began = time.monotonic()
                found, content = make()
                made = _Made(began, content)
                self._keep(found, made)
            return made.content

    def _known(self, key: Hashable) -> _Made | None:
        with self._reading:
            return self._made.get(key)

    def _keep(self, key: Hashable, made: _Made) -> None:
        with self._reading:
            self._made[key] = made
            self._made.move_to_end(key)
            while len(self._made) > KEPT_MAX:
                self._made.popitem(last=False)


answers = Answers()


def among_equals(request: PageRequest, make: Callable[[], HttpResponse]) -> HttpResponse:
    """The answer to a GET that depends on nothing of whoever asks but their rights, their zone and what they snoozed.

    `make` must put no form's token into it.
    """
    packed = "gzip" in request.headers.get("Accept-Encoding", "")

    def key() -> Hashable:
        return request.build_absolute_uri(), packed, timezone.get_current_timezone_name(), _face(request)

    def content() -> tuple[Hashable, bytes]:
        with _at_one_moment():  # their rights may have changed since they were asked for
            found, made = key(), make().content
        if packed:
            made = compress_string(made, max_random_bytes=GZipMiddleware.max_random_bytes)
        return found, made

    arrived: float = getattr(request, "arrived", time.monotonic())
    response = HttpResponse(answers.get(key(), arrived, content))
    if packed:
        response.headers["Content-Encoding"] = "gzip"
        patch_vary_headers(response, ["Accept-Encoding"])
    return response


@contextmanager
def _at_one_moment() -> Iterator[None]:
    """All that is read sees the same, whatever is committed meanwhile: rights, and what they let one see."""
    if connection.in_atomic_block:  # whose it is decides
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


def _face(request: PageRequest) -> Hashable:
    """What is the same for two who see the same."""
    own = None if snoozing.is_known_to_have_none(request.user) else request.user.pk
    return own, rights.everywhere(request.user)
