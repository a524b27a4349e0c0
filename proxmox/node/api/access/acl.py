"""Access control lists: which role who has on which path (pve-access-control: API2/ACL.pm)."""

import re
from collections.abc import Iterator
from typing import Any

from proxmox.node.access.accounts import Records, token_of, user
from proxmox.node.access.permissions import NO_ACCESS, is_path
from proxmox.node.api.access.users import names
from proxmox.node.errors import BadParameters, Failure
from proxmox.node.host import Host
from proxmox.node.routes import FLAG, TEXT, Call, route
from proxmox.node.schema import Parameter

_KINDS = ("users", "groups", "tokens")
_REQUIRED = Parameter(optional=False)


@route("GET", "/access/acl")
def lists(host: Host, call: Call) -> list[dict[str, Any]]:
    """Everything for auditors; others see what they may change."""
    audits = host.permissions.allows(call.user, "/access", "Sys.Audit")
    return [
        {"path": path, "type": kind, "ugid": name, "roleid": role, "propagate": int(propagate)}
        for path, entries in sorted(host.accounts.now.acl.items())
        if audits or host.permissions.may_modify(call.user, path)
        for kind, name, roles in _entries(entries)
        for role, propagate in roles.items()
    ]


@route(
    "PUT",
    "/access/acl",
    path=_REQUIRED,
    roles=_REQUIRED,
    propagate=FLAG,
    delete=FLAG,
    **dict.fromkeys(_KINDS, TEXT),
)
def change(host: Host, call: Call) -> None:
    """Give roles on a path, or take them away."""
    if not any(call.get(kind) for kind in _KINDS):
        complaint = "either 'users', 'groups' or 'tokens' is required."
        raise BadParameters(dict.fromkeys(_KINDS, complaint))
    path = "/" + re.sub("/+", "/", call["path"]).strip("/")
    if not call.get("delete") and not is_path(path):
        raise BadParameters({"path": f"invalid ACL path '{call['path']}'"})
    with host.accounts.edit("ACL update") as records:
        entries = records.acl.setdefault(path, {})
        for role in names(call["roles"]):
            _check_role(host, call, path, role)
            for name in _principals(records, call):
                if call.get("delete"):
                    entries.get(name, {}).pop(role, None)
                else:
                    entries.setdefault(name, {})[role] = call.get("propagate", True)
        records.acl[path] = {name: roles for name, roles in entries.items() if roles}
        if not records.acl[path]:
            del records.acl[path]


def _entries(entries: dict[str, dict[str, bool]]) -> Iterator[tuple[str, str, dict[str, bool]]]:
    for principal, roles in sorted(entries.items()):
        kind, _, name = principal.partition(":")
        yield kind, name, roles


def _check_role(host: Host, call: Call, path: str, role: str) -> None:
    """Who may not change every list may hand on no more than they have themselves."""
    if role not in host.accounts.roles():
        raise Failure(f"role '{role}' does not exist")
    held = host.permissions.held(call.user, path)
    if "Permissions.Modify" in held:
        return
    verb = "remove" if call.get("delete") else "add"
    if role == NO_ACCESS:
        raise BadParameters({"role": f"Cannot {verb} role '{role}' - requires 'Permissions.Modify'"})
    if not host.accounts.roles()[role] <= held.keys():
        needed = "requires 'Permissions.Modify' or superset of privileges."
        raise BadParameters({"role": f"Cannot {verb} role '{role}' - {needed}"})


def _principals(records: Records, call: Call) -> Iterator[str]:
    for group in names(call.get("groups", "")):
        if group not in records.groups:
            raise Failure(f"group '{group}' does not exist")
        yield f"group:{group}"
    for userid in names(call.get("users", "")):
        if userid not in records.users:
            raise Failure(f"user '{userid}' does not exist")
        yield f"user:{userid}"
    for token in names(call.get("tokens", "")):
        userid, _, tokenid = token.partition("!")
        user(records, userid)
        token_of(records, userid, tokenid)
        yield f"token:{token}"
