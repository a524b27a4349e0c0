"""Which upstreams there are: those of the environment, and those of the database, kept in memory.

The rows are read again at most every two seconds, by a thread that is in the database anyway: a call costs no query.
"""

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase

from django.conf import settings
from django.db.models import Prefetch

from gateway import secrets
from gateway.models import Dialect, Upstream, UpstreamKey

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 2.0
SECRETS = "keys of upstreams"  # the purpose they are sealed for
_PRIORITY, _WEIGHT = 10, 100  # as a row's, where nothing else is said


@dataclass(frozen=True, slots=True)
class Target:
    """One key of one upstream, or a free upstream that wants no key."""

    name: str  # the upstream's
    label: str  # the key's, as an operator knows it; "" without a key
    base_url: str
    dialects: frozenset[str]
    patterns: tuple[str, ...] = ("*",)
    priority: int = _PRIORITY
    share: float = float(_WEIGHT)  # the upstream's weight, divided among its keys
    free: bool = False
    secret: str = field(default="", repr=False)
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    key_id: int | None = None  # None: of the environment, or no key
    cooled_until: datetime | None = None  # put aside, as the database has it

    @property
    def identity(self) -> str:
        return f"{self.name}/{self.label}"

    @property
    def key_name(self) -> str:
        """For a sentence to an operator."""
        if self.key_id is None:
            return self.label or f"the upstream {self.name}"
        return f"the key {self.label} of the upstream {self.name}"

    def serves(self, dialect: str, model: str) -> bool:
        return dialect in self.dialects and any(fnmatchcase(model, pattern) for pattern in self.patterns)


_lock = threading.Lock()
_rows: tuple[Target, ...] = ()
_has_rows = False  # whatever they are worth
_read_at = float("-inf")
_unreadable: set[int] = set()  # keys that the log has been told about


def targets() -> list[Target]:
    """All that are enabled, from memory."""
    return [*of_environment(), *_rows]


def offline() -> bool:
    """Whether nobody ever configured an upstream. One that is disabled, or whose key cannot be read, is no reason to
    have real agents answered by the offline model.
    """
    return not _has_rows and not targets()


def stale() -> bool:
    return time.monotonic() - _read_at > REFRESH_SECONDS


def refresh() -> None:
    """Read the rows again if they are stale. In a thread: this is a query."""
    global _rows, _has_rows, _read_at
    if not stale():
        return
    # While another thread is reading, the old rows are good enough; before the first time there are none.
    if not _lock.acquire(blocking=_read_at == float("-inf")):
        return
    try:
        if stale():
            _rows, _has_rows = tuple(_of_database()), Upstream.objects.exists()
            _read_at = time.monotonic()
    finally:
        _lock.release()


def forget() -> None:
    """Something was changed here: read the rows anew at the next call. Other processes see it in two seconds."""
    global _read_at
    _read_at = float("-inf")


def reset() -> None:
    """Know nothing, as after a start."""
    global _rows, _has_rows
    forget()
    _rows, _has_rows = (), False


def of_environment() -> Iterator[Target]:
    """Those that variables configure: see docs/configuration.md."""
    if settings.ANTHROPIC_API_KEY:
        yield Target(
            name="anthropic",
            label="ANTHROPIC_API_KEY",
            base_url=base(settings.ANTHROPIC_BASE_URL),
            dialects=frozenset({Dialect.MESSAGES.value}),
            secret=settings.ANTHROPIC_API_KEY,
        )
    if settings.OPENAI_API_KEY:
        yield Target(
            name="openai",
            label="OPENAI_API_KEY",
            base_url=base(settings.OPENAI_BASE_URL),
            dialects=frozenset({Dialect.CHAT.value, Dialect.RESPONSES.value}),
            secret=settings.OPENAI_API_KEY,
        )


def _of_database() -> Iterator[Target]:
    keys = Prefetch("keys", UpstreamKey.objects.filter(enabled=True))
    for upstream in Upstream.objects.filter(enabled=True).prefetch_related(keys):
        enabled = list(upstream.keys.all())
        if upstream.free and not enabled:
            yield _target(upstream, None, "", float(upstream.weight))
        total = sum(key.weight for key in enabled)
        for key in enabled:
            if secret := _opened(key):
                yield _target(upstream, key, secret, upstream.weight * key.weight / total)


def _target(upstream: Upstream, key: UpstreamKey | None, secret: str, share: float) -> Target:
    return Target(
        name=upstream.name,
        label=key.label if key else "",
        base_url=base(upstream.base_url),
        dialects=frozenset(upstream.dialects),
        patterns=tuple(upstream.model_patterns),
        priority=upstream.priority,
        share=share,
        free=upstream.free,
        secret=secret,
        requests_per_minute=key.requests_per_minute if key else None,
        tokens_per_minute=key.tokens_per_minute if key else None,
        key_id=key.pk if key else None,
        cooled_until=key.cooled_until if key else None,
    )


def _opened(key: UpstreamKey) -> str:
    try:
        return secrets.unseal(SECRETS, bytes(key.sealed)).decode()
    except secrets.Unreadable as error:
        if key.pk not in _unreadable:
            logger.error("The key %s cannot be used: %s", key, error)
            _unreadable.add(key.pk)
        return ""


def base(url: str) -> str:
    """Clients of OpenAI are given addresses with /v1, those of Anthropic without: either will do here."""
    return url.rstrip("/").removesuffix("/v1")
