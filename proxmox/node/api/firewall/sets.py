"""A VM's ip sets."""

from typing import Any

from proxmox.node import firewall_rules
from proxmox.node.api.firewall.common import DIGEST, FIREWALL, NAME, REQUIRED_NAME, check_digest, listed
from proxmox.node.errors import BadParameters, Failure
from proxmox.node.firewall import Objects
from proxmox.node.host import Host
from proxmox.node.routes import FLAG, TEXT, Call, route
from proxmox.node.schema import Parameter


@route("GET", FIREWALL + "/ipset")
def sets(host: Host, call: Call) -> list[dict[str, Any]]:
    return listed(named_sets(host.firewall.view(call.vmid)))[0]


@route("POST", FIREWALL + "/ipset", name=REQUIRED_NAME, comment=TEXT, digest=DIGEST, rename=NAME)
def add_set(host: Host, call: Call) -> None:
    name = call["name"]
    with host.firewall.edit(call.vmid) as objects:
        if old := call.get("rename"):
            check_digest(call, listed(named_sets(objects))[1])
            _rename_set(objects, old, name)
        elif name in objects.ipsets:
            raise BadParameters({"name": f"IPSet '{name}' already exists"})
        else:
            objects.ipsets[name] = []
        if "comment" in call.parameters:
            objects.ipset_comments[name] = call["comment"]


@route("DELETE", FIREWALL + "/ipset/{name}", force=FLAG)
def remove_set(host: Host, call: Call) -> None:
    with host.firewall.edit(call.vmid) as objects:
        if _members(objects, call) and not call.get("force"):
            raise Failure(f"IPSet '{call['name']}' is not empty")
        del objects.ipsets[call["name"]]
        objects.ipset_comments.pop(call["name"], None)


@route("GET", FIREWALL + "/ipset/{name}")
def members(host: Host, call: Call) -> list[dict[str, Any]]:
    return listed(_members(host.firewall.view(call.vmid), call))[0]


@route("POST", FIREWALL + "/ipset/{name}", cidr=Parameter(optional=False), comment=TEXT, nomatch=FLAG)
def add_member(host: Host, call: Call) -> None:
    with host.firewall.edit(call.vmid) as objects:
        entries, cidr = _members(objects, call), _cidr(objects, call["cidr"])
        if any(entry["cidr"] == cidr for entry in entries):
            raise BadParameters({"cidr": f"address '{cidr}' already exists"})
        if cidr.endswith("/0"):
            raise BadParameters({"cidr": "a zero prefix is not allowed in ipset entries"})
        entries.insert(0, {"cidr": cidr} | _remarks(call))


@route("GET", FIREWALL + "/ipset/{name}/{cidr}")
def member(host: Host, call: Call) -> dict[str, Any]:
    entries, _ = listed(_members(host.firewall.view(call.vmid), call))
    return _find(entries, call["cidr"])


@route("PUT", FIREWALL + "/ipset/{name}/{cidr}", comment=TEXT, nomatch=FLAG, digest=DIGEST)
def change_member(host: Host, call: Call) -> None:
    with host.firewall.edit(call.vmid) as objects:
        entries = _members(objects, call)
        check_digest(call, listed(entries)[1])
        entry = _find(entries, call["cidr"])
        for name in ("comment", "nomatch"):
            entry.pop(name, None)
        entry |= _remarks(call)


@route("DELETE", FIREWALL + "/ipset/{name}/{cidr}", digest=DIGEST)
def remove_member(host: Host, call: Call) -> None:
    """A member that is not there is not missed."""
    with host.firewall.edit(call.vmid) as objects:
        entries = _members(objects, call)
        check_digest(call, listed(entries)[1])
        entries[:] = [entry for entry in entries if entry["cidr"] != call["cidr"]]


def named_sets(objects: Objects) -> list[dict[str, Any]]:
    comments = objects.ipset_comments
    return [
        {"name": name} | ({"comment": comments[name]} if comments.get(name) else {})
        for name in sorted(objects.ipsets)
    ]


def _rename_set(objects: Objects, old: str, new: str) -> None:
    if old not in objects.ipsets:
        raise BadParameters({"name": f"IPSet '{old}' does not exist"})
    if new != old and new in objects.ipsets:
        raise BadParameters({"name": f"IPSet '{new}' does already exist"})
    objects.ipsets[new] = objects.ipsets.pop(old)
    if comment := objects.ipset_comments.pop(old, ""):
        objects.ipset_comments[new] = comment


def _members(objects: Objects, call: Call) -> list[dict[str, Any]]:
    if call["name"] not in objects.ipsets:
        raise Failure(f"no such IPSet '{call['name']}'")
    return objects.ipsets[call["name"]]


def _cidr(objects: Objects, given: str) -> str:
    if not given[:1].isalpha() or ":" in given:
        return firewall_rules.check_member(given)
    if given.removeprefix("guest/").lower() not in objects.aliases:
        raise Failure(f"no such alias '{given}'")
    return given


def _find(entries: list[dict[str, Any]], cidr: str) -> dict[str, Any]:
    for entry in entries:
        if entry["cidr"] == cidr:
            return entry
    raise BadParameters({"cidr": "no such IP/Network"})


def _remarks(call: Call) -> dict[str, Any]:
    """Comment and `nomatch`, where they say something."""
    sent = {"nomatch": int(call.get("nomatch", False)), "comment": call.get("comment", "")}
    return {name: value for name, value in sent.items() if value}
