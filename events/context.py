"""Who is calling, and from where: kept beside the work that a request leads to, for the events that it records.

A context variable: every request, every task of an event loop and every thread has its own.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

SYSTEM = "system"


class Interface(StrEnum):
    """By which door somebody came in."""

    PAGE = "page"
    API = "api"
    ADMIN = "admin"
    MCP = "mcp"
    GATEWAY = "gateway"
    HUB = "hub"
    COMMAND = "command"


@dataclass(frozen=True)
class Source:
    """Where an act comes from. What is not known is empty."""

    interface: str = ""
    token: str = ""  # name and prefix of the API token
    address: str = ""
    request_id: str = ""


_of_process = Source()
_source: ContextVar[Source | None] = ContextVar("source", default=None)


def current() -> Source:
    """Of this request or task; outside of any, that of the process."""
    return _source.get() or _of_process


def of_process(interface: Interface) -> None:
    """Say what this process is, for all that it does of its own accord: `manage.py hub` is the hub."""
    global _of_process
    _of_process = Source(interface=interface)


def of_command(name: str) -> Interface:
    """What `manage.py <name>` is: hub and workers act of their own accord, the others as somebody types them."""
    return Interface.HUB if name in {"hub", "qcluster"} else Interface.COMMAND


@contextmanager
def calling(source: Source) -> Iterator[None]:
    """Everything within is done for `source`."""
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)


def identify(token: str) -> None:
    """Name the token in use, once it is known. It holds until the surrounding `calling` ends."""
    _source.set(replace(current(), token=token[:80]))


def kind_of(actor: str) -> str:
    """What kind of principal has that name: only people's names hold no colon ("machine:m12", "hub:primary")."""
    if actor == SYSTEM:
        return SYSTEM
    kind, colon, _ = actor.partition(":")
    return kind if colon else "person"


def carried() -> dict[str, str]:
    """The present source as plain data, for work that is done later and elsewhere."""
    return {name: value for name, value in vars(current()).items() if value}


def restored(carried: Mapping[str, Any]) -> Source:
    """The source again that `carried` wrote down."""
    return Source(**{name: str(value) for name, value in carried.items() if name in Source.__annotations__})
