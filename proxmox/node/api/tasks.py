"""Tasks: list, status, log, cancel (pve-manager: PVE/API2/Tasks.pm)."""

from typing import Any

from proxmox.node.access import visible
from proxmox.node.errors import BadParameters, Failure
from proxmox.node.host import Host
from proxmox.node.routes import COUNT, FLAG, TEXT, Call, Listing, route
from proxmox.node.schema import Parameter

DEFAULT_LIMIT = 50
_TIME = Parameter("integer")
_STATES = {"ok", "warning", "error", "unknown"}


@route(
    "GET",
    "/nodes/{node}/tasks",
    source=Parameter(enum=("archive", "active", "all")),
    vmid=Parameter("integer", format="pve-vmid"),
    typefilter=TEXT,
    userfilter=TEXT,
    statusfilter=TEXT,
    errors=FLAG,
    since=_TIME,
    until=_TIME,
    start=COUNT,
    limit=COUNT,
)
def tasks(host: Host, call: Call) -> Listing:
    states = _states(call)
    listed = visible.tasks(host, call.user, host.tasks.listing(call.get("source", "archive")))
    rows = [row for row in listed if _wanted(row, states, call)]
    start, limit = call.get("start", 0), call.get("limit", DEFAULT_LIMIT)
    return Listing(rows[start : start + limit], len(rows))


@route("GET", "/nodes/{node}/tasks/{upid}")
def index(host: Host, call: Call) -> list[dict[str, str]]:
    return [{"name": "log"}, {"name": "status"}]


@route("GET", "/nodes/{node}/tasks/{upid}/status")
def status(host: Host, call: Call) -> dict[str, Any]:
    return host.tasks.status(call["upid"])


@route("GET", "/nodes/{node}/tasks/{upid}/log", start=COUNT, limit=COUNT, download=FLAG)
def log(host: Host, call: Call) -> Any:
    if call.get("download") and call.sent("upid", "download"):
        raise Failure("'download' cannot be used together with 'start' or 'limit' parameters")
    found = host.tasks.log(call["upid"], call.get("start", 0), call.get("limit", DEFAULT_LIMIT))
    if found is None:  # an object, not a list: Proxmox's own way
        return {"n": 1, "t": "unable to open file - No such file or directory"}
    lines, total = found
    return Listing(lines if total else [{"n": 1, "t": "no content"}], max(total, 1))


@route("DELETE", "/nodes/{node}/tasks/{upid}")
def cancel(host: Host, call: Call) -> None:
    host.tasks.cancel(call["upid"])


def _states(call: Call) -> set[str]:
    """Which kinds of ends are wanted. Raises `BadParameters`."""
    if call.get("errors"):
        return _STATES - {"ok"}
    wanted = call.get("statusfilter", "").lower().replace(";", ",").replace(" ", ",").split(",")
    for word in filter(None, wanted):
        if word not in _STATES:
            raise BadParameters({"statusfilter": f"invalid format - invalid status '{word}'\n"})
    return set(filter(None, wanted)) or _STATES


def _wanted(row: dict[str, Any], states: set[str], call: Call) -> bool:
    return (
        call.get("vmid") in {None, _number(row["id"])}
        and call.get("typefilter") in {None, row["type"]}
        and call.get("userfilter", "").lower() in row["user"].lower()
        and _state(row["status"]) in states
        and call.get("since", 0) <= row["starttime"] <= call.get("until", row["starttime"])
    )


def _state(status: str) -> str:
    """The kind of an end; a task that runs is `unknown` (pve-common: UPID.pm, normalize_status_type)."""
    if status == "OK" or status.startswith("WARNINGS: "):
        return "ok" if status == "OK" else "warning"
    return "unknown" if status in {"unexpected status", "RUNNING"} else "error"


def _number(subject: str) -> int | None:
    return int(subject) if subject.isdecimal() else None
