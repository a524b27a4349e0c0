"""A VM's firewall rules, in order. Positions change with every insertion: clients send the digest back."""

from collections.abc import Mapping
from typing import Any

from proxmox.node import firewall_rules
from proxmox.node.api.firewall.common import DIGEST, EDIT, FIREWALL, LEVEL, check_digest, listed, names
from proxmox.node.errors import BadParameters, Failure
from proxmox.node.host import Host
from proxmox.node.routes import COUNT, TEXT, Call, route
from proxmox.node.schema import Parameter

_FORMAT = {
    **dict.fromkeys(("source", "dest"), Parameter(max_length=512)),
    **dict.fromkeys(("sport", "dport", "proto", "icmp-type", "comment"), TEXT),
    "enable": COUNT,
    "iface": Parameter(max_length=20),
    "log": LEVEL,
    "macro": Parameter(max_length=128),
}
_ACTION = Parameter(pattern=firewall_rules.NAME, max_length=20)
_TYPE = Parameter(enum=("in", "out", "forward", "group"))


@route("GET", FIREWALL + "/rules")
def rules(host: Host, call: Call) -> list[dict[str, Any]]:
    found, _ = listed(host.firewall.view(call.vmid).rules)
    return [each | {"pos": position} for position, each in enumerate(found)]


@route("GET", FIREWALL + "/rules/{pos}")
def rule(host: Host, call: Call) -> dict[str, Any]:
    found, _ = listed(host.firewall.view(call.vmid).rules)
    position = int(call["pos"])
    _check_position(found, position)
    return found[position] | {"pos": position}


_REQUIRED = {
    "action": Parameter(optional=False, pattern=firewall_rules.NAME, max_length=20),
    "type": Parameter(optional=False, enum=("in", "out", "forward", "group")),
}


@route("POST", FIREWALL + "/rules", pos=COUNT, digest=DIGEST, **_REQUIRED, **_FORMAT)
def add_rule(host: Host, call: Call) -> None:
    """The new rule becomes the first, wherever it was asked to be, and is off unless it says otherwise."""
    firewall_rules.check_formats(call.parameters)
    with host.firewall.edit(call.vmid) as objects:
        new = {"enable": 0} | _copied({}, call)
        firewall_rules.check(new, objects.ipsets, objects.aliases)
        objects.rules.insert(0, new)


@route("PUT", FIREWALL + "/rules/{pos}", moveto=COUNT, action=_ACTION, type=_TYPE, **EDIT, **_FORMAT)
def change_rule(host: Host, call: Call) -> None:
    """Move a rule, or change it: with `moveto` everything else is ignored."""
    firewall_rules.check_formats(call.parameters)
    with host.firewall.edit(call.vmid) as objects:
        check_digest(call, listed(objects.rules)[1])
        position = call["pos"]
        _check_position(objects.rules, position)
        if call.get("moveto", position) != position:
            _move(objects.rules, position, call["moveto"])
            return
        changed = _copied(objects.rules[position], call)
        for name in names(call.get("delete", "")):
            _delete(changed, name)
        firewall_rules.check(changed, objects.ipsets, objects.aliases)
        objects.rules[position] = changed


@route("DELETE", FIREWALL + "/rules/{pos}", digest=DIGEST)
def remove_rule(host: Host, call: Call) -> None:
    with host.firewall.edit(call.vmid) as objects:
        check_digest(call, listed(objects.rules)[1])
        _check_position(objects.rules, call["pos"])
        del objects.rules[call["pos"]]


def _copied(rule: Mapping[str, Any], call: Call) -> dict[str, Any]:
    sent = {name: call[name] for name in firewall_rules.PROPERTIES if name in call.parameters}
    return {name: value for name, value in (dict(rule) | sent).items() if value not in {"", "-"}}


def _move(rules: list[dict[str, Any]], position: int, to: int) -> None:
    """`to` counts before the rule has left its place, as in Proxmox."""
    moved = rules.pop(position)
    rules.insert(to - 1 if to > position else to, moved)


def _delete(rule: dict[str, Any], name: str) -> None:
    if name not in firewall_rules.PROPERTIES:
        raise BadParameters({"delete": f"no such property ('{name}')"})
    if name in {"type", "action"}:
        raise BadParameters({"delete": f"unable to delete required property '{name}'"})
    rule.pop(name, None)


def _check_position(rules: list[dict[str, Any]], position: int) -> None:
    if position >= len(rules):
        raise Failure(f"no rule at position {position}")
