"""Roles, which are sets of privileges, and groups of users."""

from typing import Any

from proxmox.node.access.accounts import forget
from proxmox.node.api.access.users import names
from proxmox.node.errors import BadParameters, Failure
from proxmox.node.host import Host
from proxmox.node.routes import TEXT, Call, route
from proxmox.node.schema import Parameter

_ROLE = Parameter(optional=False, pattern=r"[A-Za-z0-9.\-_]+")
_GROUP = Parameter(optional=False, pattern=r"[A-Za-z0-9.\-_]+")


@route("GET", "/access/roles")
def roles(host: Host, call: Call) -> list[dict[str, Any]]:
    return [
        {"roleid": role, "privs": ",".join(sorted(held)), "special": int(host.accounts.is_built_in(role))}
        for role, held in host.accounts.roles().items()
    ]


@route("POST", "/access/roles", roleid=_ROLE, privs=TEXT)
def add_role(host: Host, call: Call) -> None:
    role, privileges = call["roleid"], _privileges(host, call)
    if role.lower().startswith("pve"):
        reserved = "cannot use role ID starting with the (case-insensitive) 'PVE' namespace"
        raise BadParameters({"roleid": reserved})
    with host.accounts.edit("create role") as records:
        if role in host.accounts.roles():
            raise Failure(f"role '{role}' already exists")
        records.roles[role] = privileges


@route("GET", "/access/roles/{roleid}")
def read_role(host: Host, call: Call) -> dict[str, int]:
    role = call["roleid"]
    if role not in host.accounts.roles():
        raise Failure(f"role '{role}' does not exist")
    return dict.fromkeys(sorted(host.accounts.roles()[role]), 1)


@route("PUT", "/access/roles/{roleid}", privs=TEXT, append=Parameter("boolean", requires="privs"))
def change_role(host: Host, call: Call) -> None:
    role, privileges = call["roleid"], _privileges(host, call)
    _check_own(host, role, "modified")
    with host.accounts.edit("update role") as records:
        if role not in records.roles:
            raise Failure(f"role '{role}' does not exist")
        kept = records.roles[role] if call.get("append") else []
        records.roles[role] = sorted({*kept, *privileges})


@route("DELETE", "/access/roles/{roleid}")
def remove_role(host: Host, call: Call) -> None:
    """Access control lists that name it are left alone, and mean nothing any more."""
    role = call["roleid"]
    _check_own(host, role, "deleted")
    with host.accounts.edit("delete role") as records:
        if role not in records.roles:
            raise Failure(f"role '{role}' does not exist")
        del records.roles[role]


def _check_own(host: Host, role: str, verb: str) -> None:
    if host.accounts.is_built_in(role):
        raise Failure(f"auto-generated role '{role}' cannot be {verb}")


def _privileges(host: Host, call: Call) -> list[str]:
    wanted = names(call.get("privs", ""))
    for privilege in wanted:
        if privilege not in host.accounts.privileges:
            raise BadParameters({"privs": f"invalid format - invalid privilege '{privilege}'\n"})
    return sorted(set(wanted))


# --- groups ---


@route("GET", "/access/groups")
def groups(host: Host, call: Call) -> list[dict[str, str]]:
    """The groups that somebody may do something with."""
    return [
        {"groupid": group, "users": ",".join(_members(host, group))}
        | ({"comment": comment} if comment else {})
        for group, comment in sorted(host.accounts.now.groups.items())
        if _may_see(host, call.user, group)
    ]


@route("POST", "/access/groups", groupid=_GROUP, comment=TEXT)
def add_group(host: Host, call: Call) -> None:
    with host.accounts.edit("create group") as records:
        if call["groupid"] in records.groups:
            raise Failure(f"group '{call['groupid']}' already exists")
        records.groups[call["groupid"]] = call.get("comment", "")


@route("GET", "/access/groups/{groupid}")
def read_group(host: Host, call: Call) -> dict[str, Any]:
    group, known = call["groupid"], host.accounts.now.groups
    if group not in known:
        raise Failure(f"group '{group}' does not exist")
    comment = {"comment": known[group]} if known[group] else {}
    return {"members": _members(host, group)} | comment


@route("PUT", "/access/groups/{groupid}", comment=TEXT)
def change_group(host: Host, call: Call) -> None:
    with host.accounts.edit("update group") as records:
        if call["groupid"] not in records.groups:
            raise Failure(f"group '{call['groupid']}' does not exist")
        records.groups[call["groupid"]] = call.get("comment", records.groups[call["groupid"]])


@route("DELETE", "/access/groups/{groupid}")
def remove_group(host: Host, call: Call) -> None:
    group = call["groupid"]
    with host.accounts.edit("delete group") as records:
        if group not in records.groups:
            raise Failure(f"group '{group}' does not exist")
        del records.groups[group]
        forget(records, "group", group)
        for account in records.users.values():
            account.groups = [name for name in account.groups if name != group]


def _members(host: Host, group: str) -> list[str]:
    return sorted(userid for userid, account in host.accounts.now.users.items() if group in account.groups)


def _may_see(host: Host, who: str, group: str) -> bool:
    needed = ("User.Modify", "Sys.Audit", "Group.Allocate")
    return host.permissions.allows_any(who, f"/access/groups/{group}", *needed)
