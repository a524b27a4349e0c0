"""VM firewalls: options, ip sets and rules, and all four switches read back.

Facts are from pve-firewall: Firewall.pm and API2/Firewall/.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from proxmox.driver import VM, Firewall, Policy, Rule
from proxmox.pve.http import Part
from proxmox.pve.ownership import path_of, prove_ours

_PEER = {"in": "source", "out": "dest"}


class Firewalls(Part):
    def firewall(self, vm: VM) -> Firewall:
        options = self._http.get(f"{path_of(vm)}/firewall/options")
        devices = _network_devices(self._http.get(f"{path_of(vm)}/config"))
        return Firewall(
            cluster=_on(self._http.get("cluster/firewall/options"), default=0),
            node=_on(self._http.get(f"nodes/{vm.node}/firewall/options"), default=1),
            vm=_on(options, default=0),
            interfaces=all("firewall=1" in value.split(",") for value in devices.values()),
            policy=Policy(
                incoming=str(options.get("policy_in") or "DROP"),
                outgoing=str(options.get("policy_out") or "ACCEPT"),
                rules=tuple(_rule(row) for row in self._rules(vm) if int(row.get("enable") or 0)),
                sets=self._sets(vm),
            ),
        )

    def protect(self, vm: VM, policy: Policy) -> None:
        prove_ours(self._http, vm)
        # What happens to the rest comes first: while the rules change, the VM is more closed than it will be.
        self._http.change(
            "put",
            f"{path_of(vm)}/firewall/options",
            enable=True,
            policy_in=policy.incoming,
            policy_out=policy.outgoing,
            dhcp=True,  # 8 and 9 disagree about what holds when it is not said
        )
        wanted = {name: frozenset(map(_network, members)) for name, members in policy.sets.items()}
        known = self._sets(vm)
        for name, members in wanted.items():
            self._fill(vm, name, known.get(name), members)
        self._replace_rules(vm, policy.rules)
        for name in known.keys() - wanted.keys():
            self._http.change("delete", f"{path_of(vm)}/firewall/ipset/{name}", force=True)
        self._switch_devices_on(vm)

    def _rules(self, vm: VM) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._http.get(f"{path_of(vm)}/firewall/rules")
        return sorted(rows, key=lambda row: int(row["pos"]))

    def _replace_rules(self, vm: VM, rules: tuple[Rule, ...]) -> None:
        present = self._rules(vm)
        if all(int(row.get("enable") or 0) for row in present) and tuple(map(_rule, present)) == rules:
            return
        for position in reversed(range(len(present))):
            self._http.change("delete", f"{path_of(vm)}/firewall/rules/{position}")
        for rule in reversed(rules):  # a new rule becomes the first one
            self._http.change("post", f"{path_of(vm)}/firewall/rules", **_parameters(rule))

    def _sets(self, vm: VM) -> dict[str, frozenset[str]]:
        base = f"{path_of(vm)}/firewall/ipset"
        return {
            str(row["name"]): frozenset(
                _network(entry["cidr"]) for entry in self._http.get(f"{base}/{row['name']}")
            )
            for row in self._http.get(base)
        }

    def _fill(self, vm: VM, name: str, known: frozenset[str] | None, members: frozenset[str]) -> None:
        base = f"{path_of(vm)}/firewall/ipset"
        if known is None:
            self._http.change("post", base, name=name)
        for network in sorted(members - (known or frozenset())):
            self._http.change("post", f"{base}/{name}", cidr=network)
        for network in sorted((known or frozenset()) - members):
            # The network is one part of the path: its slash must not divide it.
            self._http.change("delete", f"{base}/{name}/{network.replace('/', '%2F')}")

    def _switch_devices_on(self, vm: VM) -> None:
        devices = _network_devices(self._http.get(f"{path_of(vm)}/config"))
        changed = {
            name: f"{re.sub(r',firewall=[^,]*', '', value)},firewall=1"
            for name, value in devices.items()
            if "firewall=1" not in value.split(",")
        }
        if changed:
            self._http.change("put", f"{path_of(vm)}/config", **changed)


def _on(options: Mapping[str, Any], *, default: int) -> bool:
    return bool(int(options.get("enable", default)))


def _network_devices(config: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in config.items() if re.fullmatch(r"net\d+", name)}


def _network(cidr: str) -> str:
    """A network as Proxmox keeps it: one address has no prefix. An alias stays as it is."""
    try:
        network = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return cidr
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _rule(row: Mapping[str, Any]) -> Rule:
    direction = str(row["type"])
    peer = str(row.get(_PEER.get(direction, "source")) or "")
    return Rule(
        direction=direction,
        action=str(row["action"]),
        peer=peer.replace("+guest/", "+"),
        protocol=str(row.get("proto") or ""),
        port=str(row.get("dport") or ""),
        comment=str(row.get("comment") or ""),
    )


def _parameters(rule: Rule) -> dict[str, Any]:
    return {
        "type": rule.direction,
        "action": rule.action,
        "enable": 1,  # 0 unless it is said
        _PEER[rule.direction]: rule.peer or None,
        "proto": rule.protocol or None,
        "dport": rule.port or None,
        "comment": rule.comment or None,
    }
