"""Network profiles: what a guest may reach, as plain values. Who sets and proves them is `guests.network`.

Only addresses are known here, as Proxmox's firewall knows them: nothing filters by name or by content.
"""

import ipaddress
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import TextChoices

from proxmox.driver import Firewall, Policy, Rule


class Profile(TextChoices):
    """What a guest may reach, the strictest first: each allows what those before it do, and more."""

    SEALED = "sealed"  # the gateway, and what settings allow everybody
    HUB = "hub"  # and what settings allow hubs
    OPEN = "open"  # anything


ORDER = tuple(Profile)
# What undoes a policy that came with a clone.
UNFILTERED = Policy(incoming="ACCEPT", outgoing="ACCEPT")


@dataclass(frozen=True, slots=True)
class Destination:
    """A network (CIDR; empty: any) that may be reached, on a port of a protocol or, with 0, in any way."""

    network: str
    port: int = 0
    protocol: str = "tcp"


def stricter(one: str, other: str) -> Profile:
    """The stricter of two profiles."""
    return min(Profile(one), Profile(other), key=ORDER.index)


def policy(destinations: Iterable[Destination]) -> Policy:
    """The firewall that lets a guest reach these and nothing else, and lets nothing in.

    One set of addresses and one rule for each port. What is not allowed is rejected, so that programs in the guest
    fail at once instead of waiting.
    """
    groups: defaultdict[tuple[int, str], set[str]] = defaultdict(set)
    for one in destinations:
        groups[one.port, one.protocol if one.port else ""].add(canonical(one.network))
    rules, sets = [], {}
    for (port, protocol), networks in sorted(groups.items()):
        name = f"autovibe-{protocol}-{port}" if port else "autovibe-any"
        if "" not in networks:
            sets[name] = frozenset(networks)
        peer = f"+{name}" if name in sets else ""
        rules.append(Rule("out", "ACCEPT", peer, protocol, str(port) if port else "", comment="autovibe"))
    return Policy(incoming="DROP", outgoing="REJECT", rules=tuple(rules), sets=sets)


def shortfall(found: Firewall, wanted: Policy, *, node: str, vmid: int) -> str:
    """What keeps the firewall that was read back from being the wanted one, with the command that mends it; or ""."""
    firewall = f"/nodes/{node}/qemu/{vmid}/firewall"
    if not found.cluster:
        return (
            "the data centre's firewall is off. Switch it on: pvesh set /cluster/firewall/options --enable 1. Mind "
            "what that blocks: from then on every node refuses incoming connections, but for the web interface (8006) "
            "and SSH (22) from its own network; whatever else reaches the nodes needs a rule before."
        )
    if not found.node:
        return (
            f"the firewall of node {node} is off. "
            f"Switch it on: pvesh set /nodes/{node}/firewall/options --enable 1"
        )
    if not found.vm:
        return f"the firewall of the VM is off. Switch it on: pvesh set {firewall}/options --enable 1"
    if not found.interfaces:
        return (
            "a network device of the VM is without a firewall. "
            f"Set each one again with firewall=1: qm config {vmid}, then qm set {vmid} --net0 …,firewall=1"
        )
    if _essence(found.policy) != _essence(wanted):
        return (
            f"its rules are not those that were set; something else changes them: pvesh get {firewall}/rules"
        )
    return ""


def canonical(network: str) -> str:
    """As Proxmox keeps it: a single address has no prefix length (pve-firewall: parse_ip_or_cidr)."""
    try:
        parsed = ipaddress.ip_network(network, strict=False)
    except ValueError:  # any; or the name of an alias, which somebody has put into one of our sets
        return network
    return str(parsed.network_address) if parsed.num_addresses == 1 else str(parsed)


def _essence(policy: Policy) -> tuple[object, ...]:
    """A policy without what does not matter: comments, and how a network is written."""
    rules = [(one.direction, one.action, one.peer, one.protocol, one.port) for one in policy.rules]
    sets = {name: frozenset(map(canonical, networks)) for name, networks in policy.sets.items()}
    return policy.incoming, policy.outgoing, rules, sets
