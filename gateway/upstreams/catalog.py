"""Which models there are: what the upstreams list, put together, and asked for again every five minutes at most."""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

from gateway.upstreams import registry, transport
from gateway.upstreams.registry import Target

KEEP_SECONDS = 300.0
PATIENCE_SECONDS = 10.0
# Anthropic asks for a version (https://docs.claude.com/en/api/versioning), and lists twenty models unless told.
_HEADERS = [(b"anthropic-version", b"2023-06-01")]
_PATHS = {"messages": "/v1/models?limit=1000"}

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Listed:
    entries: list[Entry]
    until: float


_listed: dict[tuple[str, str, str], _Listed] = {}  # by upstream, address and dialect


class NothingListed(Exception):
    """No upstream could be asked; the sentence is the last one's."""


async def models(dialect: str) -> list[Entry]:
    """What agents that speak this dialect can ask for, in the upstreams' own words. Raises `NothingListed`.

    An upstream that cannot be asked is left out, but for the models that it was configured with by name.
    """
    able = _one_key_each(dialect)
    answers = await asyncio.gather(*(_models_of(target, dialect) for target in able), return_exceptions=True)
    found: dict[str, Entry] = {}
    for target, answer in zip(able, answers, strict=True):
        entries = _named(target) if isinstance(answer, BaseException) else answer
        for entry in entries:
            found.setdefault(str(entry["id"]), entry)
    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    if failures and not found:
        raise NothingListed(str(failures[-1])) from failures[-1]
    return list(found.values())


def reset() -> None:
    """Ask anew."""
    _listed.clear()


async def listed_by(target: Target, dialect: str) -> list[Entry]:
    """Ask one target, now. Raises `NotSent`, `BrokenOff`, or `NothingListed` for any answer but a list."""
    path = _PATHS.get(dialect, "/v1/models")
    try:
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            transport.ask(target, "GET", path, dialect=dialect, headers=_HEADERS) as response,
        ):
            body = b"".join([chunk async for chunk in response.chunks])
    except TimeoutError as error:
        raise transport.BrokenOff(
            f"{target.name} did not list its models in {PATIENCE_SECONDS:.0f} s."
        ) from error
    entries = _entries(body) if response.status == 200 else None
    if entries is None:
        raise NothingListed(f"{target.name} does not list its models (HTTP {response.status}).")
    return [entry for entry in entries if target.serves(dialect, str(entry["id"]))]


def _one_key_each(dialect: str) -> list[Target]:
    able = {target.name: target for target in reversed(registry.targets()) if dialect in target.dialects}
    return list(reversed(able.values()))


async def _models_of(target: Target, dialect: str) -> list[Entry]:
    key = (target.name, target.base_url, dialect)
    known = _listed.get(key)
    if known and known.until > time.monotonic():
        return [entry for entry in known.entries if target.serves(dialect, str(entry["id"]))]
    entries = await listed_by(target, dialect)
    _listed[key] = _Listed(entries, time.monotonic() + KEEP_SECONDS)
    return entries


def _entries(body: bytes) -> list[Entry] | None:
    try:
        said = json.loads(body)
    except ValueError:
        return None
    entries = said.get("data") if isinstance(said, dict) else None
    if not isinstance(entries, list):
        return None
    return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]


def _named(target: Target) -> list[Entry]:
    """What it was configured with, where that is no pattern; with the fields that both providers' clients read."""
    names = [pattern for pattern in target.patterns if not set(pattern) & set("*?[")]
    return [
        {
            "id": name,
            "type": "model",
            "object": "model",
            "display_name": name,
            "created": 0,
            "created_at": "1970-01-01T00:00:00Z",
            "owned_by": target.name,
        }
        for name in names
    ]
