"""Reading settings from the environment: three helpers that refuse nonsense at start-up."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured


def flag(name: str, *, default: bool) -> bool:
    """A boolean variable: 1/true/yes/on or 0/false/no/off."""
    raw = os.environ.get(name, "")
    if not raw:
        return default
    if raw.lower() not in {"1", "true", "yes", "on", "0", "false", "no", "off"}:
        raise ImproperlyConfigured(f"{name}={raw!r} is neither true nor false.")
    return raw.lower() in {"1", "true", "yes", "on"}


def number(name: str, *, default: float) -> float:
    """A numeric variable."""
    raw = os.environ.get(name, "")
    try:
        return float(raw) if raw else default
    except ValueError:
        raise ImproperlyConfigured(f"{name}={raw!r} is not a number.") from None


def secret(name: str, *, default: str = "") -> str:
    """A secret: the variable itself, or the content of the file that NAME_FILE points at."""
    if path := os.environ.get(f"{name}_FILE"):
        return Path(path).read_text().strip()
    return os.environ.get(name, default)


def database(url: str) -> dict[str, object]:
    """Django's settings for a `postgres://user:password@host:port/name` address."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured("DATABASE_URL must be a postgres:// address: autovibe needs PostgreSQL.")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        # A new connection per request costs ten times the enqueueing of a task.
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
    }
