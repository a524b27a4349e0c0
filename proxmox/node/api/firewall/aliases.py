"""A VM's aliases of addresses, and everything that its rules may refer to."""

from typing import Any

from proxmox.node import firewall_rules
from proxmox.node.api.firewall.common import DIGEST, FIREWALL, NAME, REQUIRED_NAME, check_digest, listed
from proxmox.node.api.firewall.sets import named_sets
from proxmox.node.errors import BadParameters
from proxmox.node.firewall import Objects
from proxmox.node.host import Host
from proxmox.node.routes import TEXT, Call, route
from proxmox.node.schema import Parameter


@route("GET", FIREWALL + "/aliases")
def aliases(host: Host, call: Call) -> list[dict[str, Any]]:
    return listed(_aliases(host.firewall.view(call.vmid)))[0]


@route("POST", FIREWALL + "/aliases", name=REQUIRED_NAME, cidr=Parameter(optional=False), comment=TEXT)
def add_alias(host: Host, call: Call) -> None:
    with host.firewall.edit(call.vmid) as objects:
        if call["name"].lower() in objects.aliases:
            raise BadParameters({"name": f"alias '{call['name']}' already exists"})
        objects.aliases[call["name"].lower()] = _alias(call, call["name"])


@route("GET", FIREWALL + "/aliases/{name}")
def alias(host: Host, call: Call) -> dict[str, Any]:
    return _existing(host.firewall.view(call.vmid), call["name"])


@route(
    "PUT",
    FIREWALL + "/aliases/{name}",
    cidr=Parameter(optional=False),
    comment=TEXT,
    rename=NAME,
    digest=DIGEST,
)
def change_alias(host: Host, call: Call) -> None:
    old, new = call["name"], call.get("rename", call["name"])
    with host.firewall.edit(call.vmid) as objects:
        check_digest(call, listed(_aliases(objects))[1])
        _existing(objects, old)
        if new.lower() != old.lower() and new.lower() in objects.aliases:
            raise BadParameters({"name": f"alias '{new}' already exists"})
        del objects.aliases[old.lower()]
        objects.aliases[new.lower()] = _alias(call, new)


@route("DELETE", FIREWALL + "/aliases/{name}", digest=DIGEST)
def remove_alias(host: Host, call: Call) -> None:
    with host.firewall.edit(call.vmid) as objects:
        check_digest(call, listed(_aliases(objects))[1])
        objects.aliases.pop(call["name"].lower(), None)


@route("GET", FIREWALL + "/refs", type=Parameter(enum=("alias", "ipset")))
def refs(host: Host, call: Call) -> list[dict[str, Any]]:
    """What rules of this VM may name as source or destination."""
    objects, wanted = host.firewall.view(call.vmid), call.get("type")
    found = [entry | {"type": "ipset", "ref": f"+{entry['name']}"} for entry in named_sets(objects)]
    found += [
        {key: entry[key] for key in ("name", "comment") if key in entry}
        | {"type": "alias", "ref": entry["name"]}
        for entry in _aliases(objects)
    ]
    return [entry | {"scope": "guest"} for entry in found if wanted in {None, entry["type"]}]


def _aliases(objects: Objects) -> list[dict[str, Any]]:
    return [objects.aliases[name] for name in sorted(objects.aliases)]


def _alias(call: Call, name: str) -> dict[str, Any]:
    comment = {"comment": call["comment"]} if call.get("comment") else {}
    return {"name": name, "cidr": firewall_rules.check_member(call["cidr"])} | comment


def _existing(objects: Objects, name: str) -> dict[str, Any]:
    if name.lower() not in objects.aliases:
        raise BadParameters({"name": "no such alias"})
    return objects.aliases[name.lower()]
