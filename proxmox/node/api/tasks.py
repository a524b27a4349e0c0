"""Tasks: list, status, log, cancel."""

from typing import Any

from proxmox.node.host import Host
from proxmox.node.routes import COUNT, FLAG, TEXT, Call, Listing, route
from proxmox.node.schema import Parameter

DEFAULT_LIMIT = 50
_TIME = Parameter("integer")


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
    rows = [row for row in host.tasks.listing(call.get("source", "archive")) if _wanted(row, call)]
    start, limit = call.get("start", 0), call.get("limit", DEFAULT_LIMIT)
    return Listing(rows[start : start + limit if limit else None], len(rows))


@route("GET", "/nodes/{node}/tasks/{upid}/status")
def status(host: Host, call: Call) -> dict[str, Any]:
    return host.tasks.status(call["upid"])


@route("GET", "/nodes/{node}/tasks/{upid}/log", start=COUNT, limit=COUNT, download=FLAG)
def log(host: Host, call: Call) -> Any:
    found = host.tasks.log(call["upid"], call.get("start", 0), call.get("limit", DEFAULT_LIMIT))
    if found is None:  # an object, not a list: Proxmox's own way
        return {"n": 1, "t": "unable to open file - No such file or directory"}
    lines, total = found
    return Listing(lines or [{"n": 1, "t": "no content"}], max(total, 1))


@route("DELETE", "/nodes/{node}/tasks/{upid}")
def cancel(host: Host, call: Call) -> None:
    host.tasks.cancel(call["upid"])


def _wanted(row: dict[str, Any], call: Call) -> bool:
    status = _class(row.get("status"))
    return (
        call.get("vmid") in {None, _number(row["id"])}
        and call.get("typefilter") in {None, row["type"]}
        and call.get("userfilter", "") in row["user"]
        and (not call.get("errors") or status in {"error", "unknown"})
        and (not call.get("statusfilter") or status in call["statusfilter"].split(","))
        and call.get("since", 0) <= row["starttime"] <= call.get("until", row["starttime"])
    )


def _class(status: str | None) -> str:
    if status is None:
        return "running"
    if status == "OK" or status.startswith("WARNINGS: "):
        return "ok" if status == "OK" else "warning"
    return "unknown" if status == "unexpected status" else "error"


def _number(subject: str) -> int | None:
    vmid = subject.partition("@")[0]
    return int(vmid) if vmid.isdecimal() else None
