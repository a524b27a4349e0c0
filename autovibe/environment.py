"""Reading settings from the environment: helpers that refuse nonsense at start-up."""

import ipaddress
import os
import re
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


def prices(name: str) -> dict[str, str]:
    """A variable like `20/100`: units per million tokens read and written; empty when it is not set."""
    raw = os.environ.get(name, "")
    if raw and not re.fullmatch(r"\d+(\.\d+)?/\d+(\.\d+)?", raw):
        raise ImproperlyConfigured(f"{name}={raw!r} is not a price; write it like 20/100.")
    return dict(zip(("input", "output"), raw.split("/"), strict=True)) if raw else {}


def choice(name: str, *known: str) -> str:
    """One of the known words, or nothing."""
    raw = os.environ.get(name, "")
    if raw and raw not in known:
        raise ImproperlyConfigured(f"{name}={raw!r} is not one of {', '.join(known)}.")
    return raw


def pairs(name: str) -> dict[str, str]:
    """Names and what they stand for, comma-separated: `sre=Operators, audit=Auditors`."""
    entries = [entry.partition("=") for entry in os.environ.get(name, "").split(",") if entry.strip()]
    if any(not key.strip() or not value.strip() for key, _, value in entries):
        raise ImproperlyConfigured(f"{name} is not a list of name=name, separated by commas.")
    return {key.strip(): value.strip() for key, _, value in entries}


def counts(name: str, default: str, *known: str) -> dict[str, int | bool]:
    """Numbers by name, the last of them also yes or no: `keep_last=20 daily=7 milestones=yes`.

    What is said replaces the whole default.
    """
    words = dict(word.partition("=")[::2] for word in (os.environ.get(name) or default).split())
    found: dict[str, int | bool] = {}
    for word, value in words.items():
        if word == known[-1] and value in {"yes", "no"}:
            found[word] = value == "yes"
        elif word in known and value.isdecimal():
            found[word] = int(value)
        else:
            raise ImproperlyConfigured(
                f"{name}: {word}={value} is none of {'=N, '.join(known)}=N, yes or no."
            )
    return found


def destinations(name: str, default: str = "") -> list[tuple[str, int]]:
    """Networks and ports, comma-separated: 10.0.0.0/8, 10.0.0.5:443, [2001:db8::/32]:443. Port 0: any."""
    entries = [entry.strip() for entry in os.environ.get(name, default).split(",")]
    try:
        return [_destination(entry) for entry in entries if entry]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}.") from None


def _destination(entry: str) -> tuple[str, int]:
    with_port = entry.count(":") == 1 or "]:" in entry  # an IPv6 network has colons of its own
    network, _, port = entry.rpartition(":") if with_port else (entry, "", "0")
    parsed = ipaddress.ip_network(network.strip("[]"))
    if not parsed.prefixlen:
        raise ValueError(
            f"{entry!r} is every address; where everything may be reached, use the profile “open”"
        )
    if not port.isdecimal() or not with_port <= int(port) < 65536:
        raise ValueError(f"{entry!r} has no port between 1 and 65535")
    return str(parsed), int(port)


def secret(name: str, *, default: str = "") -> str:
    """A secret: the variable itself, or the content of the file that NAME_FILE points at."""
    if path := os.environ.get(f"{name}_FILE"):
        return Path(path).read_text().strip()
    return os.environ.get(name, default)


def database(url: str, *, pool: int = 0) -> dict[str, object]:
    """Django's settings for a `postgres://user:password@host:port/name` address.

    `pool`: threads come and go, and share so many connections (the web process); 0: each thread keeps its own.
    """
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
        "CONN_MAX_AGE": 0 if pool else 600,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"pool": {"min_size": 2, "max_size": pool, "timeout": 10}} if pool else {},
    }
