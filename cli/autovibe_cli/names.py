"""Names of what is on the server, for completion: quickly, and never with an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Optional

from autovibe_cli.client import Client, Json
from autovibe_cli.errors import Failure
from autovibe_cli.grammar import Session

TIMEOUT_SECONDS = 2.0
COUNT = 50

Names = Iterable["tuple[str, str]"]
Look = Callable[[Client, str, Optional[str]], Names]


def of_kind(session: Session, kind: str, current: str, *, project: str | None) -> Names:
    """Names with what they are, for an argument of that kind ("MACHINE"), as far as it is typed; none if unsure."""
    look = _LOOKS.get(kind)
    if look is None:
        return []
    try:
        return list(look(session.impatient_client(TIMEOUT_SECONDS), current, project))
    except Failure:
        return []


def _machines(client: Client, current: str, project: str | None) -> Names:
    return [
        (one["handle"], f"{one['state']}: {one['title']}")
        for one in _list(client, "machines", project=project)
    ]


def _checkpoints(client: Client, current: str, project: str | None) -> Names:
    """Those of the machine that is typed already, else the latest ones."""
    origin = current.rpartition(".")[0]
    machine = origin if origin[:1] == "m" and origin[1:].isdecimal() else None
    found = _list(client, "checkpoints", machine=machine, project=project)
    return [(one["handle"], one["name"] or one["why"]) for one in found]


def _projects(client: Client, current: str, project: str | None) -> Names:
    return [(one["slug"], one["name"]) for one in _list(client, "projects")]


def _types(client: Client, current: str, project: str | None) -> Names:
    return [(one["name"], one["summary"]) for one in _list(client, "machine-types")]


def _operations(client: Client, current: str, project: str | None) -> Names:
    found = _list(client, "operations", project=project)
    return [(one["id"], f"{one['verb']} ({one['status']})") for one in found]


def _anything(client: Client, current: str, project: str | None) -> Names:
    """A checkpoint once there is a dot, else a machine or a project."""
    if "." in current:
        return _checkpoints(client, current, project)
    return [*_machines(client, current, project), *_projects(client, current, project)]


def _owners(client: Client, current: str, project: str | None) -> Names:
    return [*_projects(client, current, project), ("system", "everything together")]


def _list(client: Client, *segments: str, **query: Any) -> list[Json]:
    return list(client.get(*segments, page_size=COUNT, **query)["results"])


_LOOKS: dict[str, Look] = {
    "MACHINE": _machines,
    "CHECKPOINT": _checkpoints,
    "PROJECT": _projects,
    "FROM": _projects,
    "TO": _projects,
    "TYPE": _types,
    "OPERATION": _operations,
    "REF": _anything,
    "OWNER": _owners,
}
