"""One answer for all who ask the same at the same moment, as the open pages of many viewers do when they are told of a
change. Nobody gets what was made before they asked, so an answer is never old; nothing is kept for later.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import NamedTuple

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
        self._locks = [Lock() for _ in range(LOCKS)]

    def get(self, key: Hashable, arrived: float, make: Callable[[], bytes]) -> bytes:
        """What `make` returns; it was called after `arrived`, by whoever came first."""
        with self._locks[hash(key) % LOCKS]:
            made = self._made.get(key)
            if made is None or made.began < arrived:
                made = _Made(time.monotonic(), make())
                self._keep(key, made)
            return made.content

    def _keep(self, key: Hashable, made: _Made) -> None:
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
    key = (request.build_absolute_uri(), packed, timezone.get_current_timezone_name(), _face(request))

    def content() -> bytes:
        made = make().content
        return compress_string(made, max_random_bytes=GZipMiddleware.max_random_bytes) if packed else made

    arrived: float = getattr(request, "arrived", time.monotonic())
    response = HttpResponse(answers.get(key, arrived, content))
    if packed:
        response.headers["Content-Encoding"] = "gzip"
        patch_vary_headers(response, ["Accept-Encoding"])
    return response


def _face(request: PageRequest) -> Hashable:
    """What is the same for two who see the same."""
    own = None if snoozing.is_known_to_have_none(request.user) else request.user.pk
    return own, rights.everywhere(request.user)
