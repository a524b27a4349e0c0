"""Tickets, realms, passwords, and what somebody may do."""

import re
import time
from typing import Any

from proxmox.node.access.accounts import ROOT, hashed, user
from proxmox.node.access.permissions import Held, is_path
from proxmox.node.errors import BadParameters, Failure
from proxmox.node.host import Host
from proxmox.node.routes import FLAG, TEXT, Call, route
from proxmox.node.schema import Parameter

USERID = Parameter(optional=False, pattern=r"[^\s:/@]+@[A-Za-z][A-Za-z0-9.\-_]+", max_length=64)
_TICKET = {
    "username": Parameter(optional=False, max_length=64),
    "password": Parameter(optional=False),
    "realm": Parameter(max_length=32),
    "new-format": FLAG,
    **dict.fromkeys(("otp", "tfa-challenge", "path", "privs"), TEXT),
}
# Which privileges of which top-level path the web interface is told of (RPCEnvironment.pm: compute_api_permission).
_CAPABILITIES = {
    "access": r"(User|Group)\.|Permissions\.Modify",
    "dc": r"Sys\.Audit|Sys\.Modify|SDN\.",
    "mapping": r"Mapping\.|Permissions\.Modify",
    "nodes": r"Sys\.|Permissions\.Modify",
    "sdn": r"SDN\.|Permissions\.Modify",
    "storage": r"Datastore\.|Permissions\.Modify",
    "vms": r"VM\.|Permissions\.Modify",
}
_SHOWN = ("/", "/nodes", "/access/groups", "/vms", "/storage", "/sdn", "/mapping")


@route("GET", "/access")
def index(host: Host, call: Call) -> list[dict[str, str]]:
    names = ("acl", "domains", "groups", "permissions", "roles", "ticket", "users")
    return [{"subdir": name} for name in names]


@route("GET", "/access/domains")
def domains(host: Host, call: Call) -> list[dict[str, str]]:
    return [
        {"realm": "pam", "type": "pam", "comment": "Linux PAM standard authentication"},
        {"realm": "pve", "type": "pve", "comment": "Proxmox VE authentication server"},
    ]


@route("GET", "/access/ticket")
def no_ticket(host: Host, call: Call) -> None:
    """Proxmox has this for its own log-in page."""


@route("POST", "/access/ticket", **_TICKET)
def log_in(host: Host, call: Call) -> dict[str, Any]:
    """A valid ticket does for a password: that is how it is renewed."""
    name, password = call["username"], call["password"]
    userid = name if "@" in name else f"{name}@{call.get('realm', 'pam')}"
    renewed = host.tickets.user(password) == userid and host.accounts.usable(userid)
    if not renewed and not host.accounts.password_valid(userid, password):
        time.sleep(host.options.auth_delay_seconds)
        raise Failure("authentication failure", status=401)
    return {
        "username": userid,
        "ticket": host.tickets.ticket(userid),
        "CSRFPreventionToken": host.tickets.csrf_token(userid),
        "cap": _capabilities(host, userid),
    }


@route(
    "PUT",
    "/access/password",
    userid=USERID,
    password=Parameter(optional=False, max_length=64),
    **{"confirmation-password": TEXT},
)
def change_password(host: Host, call: Call) -> None:
    if call["userid"] == ROOT:
        raise Failure("the password of root@pam is an option of the node's start", status=403)
    with host.accounts.edit("change password") as records:
        user(records, call["userid"]).password = hashed(call["password"])


@route("GET", "/access/permissions", path=TEXT, userid=TEXT)
def permissions(host: Host, call: Call) -> dict[str, dict[str, int]]:
    """Effective privileges; those of others are shown to auditors only."""
    who = call.get("userid", call.user)
    if who != call.user and who.partition("!")[0] != call.user:
        host.permissions.check(call.user, "/access", "Sys.Audit")
    if path := call.get("path"):
        if not is_path(path):
            raise BadParameters({"path": f"invalid ACL path '{path}'"})
        return {path: _plain(host.permissions.held(who, path))}
    return {path: _plain(held) for path, held in host.permissions.tree(who).items()}


def _plain(held: Held) -> dict[str, int]:
    return {privilege: int(propagated) for privilege, propagated in held.items()}


def _capabilities(host: Host, userid: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {name: {} for name in _CAPABILITIES}
    for path in (*_SHOWN, *host.accounts.now.acl):
        name = "dc" if path == "/" else path.split("/")[1]
        held = host.permissions.held(userid, path)
        if pattern := _CAPABILITIES.get(name):
            found[name] |= {privilege: 1 for privilege in held if re.match(pattern, privilege)}
        elif name == "pool":
            found["vms"] |= {privilege: 1 for privilege in held if privilege.startswith("VM.")}
            found["storage"] |= {privilege: 1 for privilege in held if privilege.startswith("Datastore.")}
    return found
