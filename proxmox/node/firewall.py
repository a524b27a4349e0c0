"""Firewalls: what the data centre, the node and each VM have set, one file each, and what that means for a guest.

How rules are checked is in `firewall_rules`, the API in `api/firewall`; enforcing a policy is the sandbox's.
"""

import copy
import ipaddress
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from proxmox.node.configs import Configs
from proxmox.node.firewall_rules import MACROS

DATACENTER = "cluster"
NODE = "host"
Name = int | str  # a VMID, DATACENTER or NODE
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass
class Objects:
    """One firewall file. Values are integers or strings, as the API shows them."""

    options: dict[str, Any] = field(default_factory=dict)
    rules: list[dict[str, Any]] = field(default_factory=list)
    ipsets: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    ipset_comments: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, dict[str, Any]] = field(default_factory=dict)  # by name in lower case


@dataclass(frozen=True, slots=True)
class Rule:
    """An enabled rule: macros spelled out, aliases and sets resolved to networks. Empty means any."""

    type: str  # in or out
    action: str  # ACCEPT, DROP or REJECT
    proto: str = ""
    source: tuple[str, ...] = ()
    dest: tuple[str, ...] = ()
    sport: str = ""  # as Proxmox writes them: 80,443 or 8000:8010
    dport: str = ""
    iface: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a VM's firewall does. `enabled`: every switch is on, of data centre, node, VM and its network devices."""

    enabled: bool
    policy_in: str = "DROP"
    policy_out: str = "ACCEPT"
    rules: tuple[Rule, ...] = ()
    ipsets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Firewall:
    """All firewall files of the node, in memory and on disk."""

    def __init__(self, directory: Path, configs: Configs) -> None:
        self._directory = directory
        self._configs = configs
        self._lock = threading.RLock()
        directory.mkdir(parents=True, exist_ok=True)
        self._objects: dict[Name, Objects] = {
            _name(path): Objects(**json.loads(path.read_text(encoding="utf-8")))
            for path in directory.glob("*.json")
        }

    def view(self, name: Name) -> Objects:
        """A file's contents, for reading only; an empty one when there is none."""
        return self._objects.get(name) or Objects()

    @contextmanager
    def edit(self, name: Name) -> Iterator[Objects]:
        """Change a file: what the block leaves is written, unless it raises."""
        with self._lock:
            objects = copy.deepcopy(self.view(name))
            yield objects
            self._save(name, objects)

    def copy(self, source: int, target: int) -> None:
        """Give a clone its source's firewall (qemu-server: clone_vmfw_conf)."""
        with self._lock:
            if source in self._objects:
                self._save(target, copy.deepcopy(self._objects[source]))

    def remove(self, vmid: int) -> None:
        """Forget a VM's firewall, when it has one."""
        with self._lock:
            self._objects.pop(vmid, None)
            self._path(vmid).unlink(missing_ok=True)

    def exported(self, vmid: int) -> dict[str, Any] | None:
        """What a backup keeps of a VM's firewall; None when it has none."""
        objects = self._objects.get(vmid)
        return asdict(objects) if objects else None

    def restore(self, vmid: int, exported: Mapping[str, Any]) -> None:
        """Put back what a backup has kept."""
        with self._lock:
            self._save(vmid, Objects(**exported))

    def switches(self, vmid: int) -> tuple[bool, bool, bool, bool]:
        """Whether the data centre, the node, the VM and all its network devices have the firewall on."""
        nets = [str(value) for key, value in self._configs.view(vmid).values.items() if _is_net(key)]
        return (
            bool(self.view(DATACENTER).options.get("enable", 0)),
            bool(self.view(NODE).options.get("enable", 1)),
            bool(self.view(vmid).options.get("enable", 0)),
            all("firewall=1" in net.split(",") for net in nets),
        )

    def connected(self, vmid: int) -> bool:
        """Whether the VM has a network device."""
        return any(_is_net(key) for key in self._configs.view(vmid).values)

    def policy(self, vmid: int) -> Policy:
        """What applies to a guest that is started now. Raises `Failure` for a VM that is none."""
        objects = self.view(vmid)
        sets = {name: _networks(entries, objects) for name, entries in objects.ipsets.items()}
        ipsets = {name: tuple(map(str, networks)) for name, networks in sets.items()}
        rules = [
            _resolved(each, objects, ipsets)
            for rule in objects.rules
            if rule.get("enable") and rule["type"] in {"in", "out"}
            for each in _expanded(rule)
        ]
        return Policy(
            all(self.switches(vmid)),
            str(objects.options.get("policy_in", "DROP")),
            str(objects.options.get("policy_out", "ACCEPT")),
            tuple(rules),
            ipsets,
        )

    def _save(self, name: Name, objects: Objects) -> None:
        fresh = self._path(name).with_suffix(".new")
        fresh.write_text(json.dumps(asdict(objects)), encoding="utf-8")
        os.replace(fresh, self._path(name))
        self._objects[name] = objects

    def _path(self, name: Name) -> Path:
        return self._directory / f"{name}.json"


def _name(path: Path) -> Name:
    return int(path.stem) if path.stem.isdecimal() else path.stem


def _is_net(key: str) -> bool:
    return key.startswith("net") and key[3:].isdecimal()


def _expanded(rule: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One rule for each that its macro stands for."""
    return [{**rule, **template} for template in MACROS.get(rule.get("macro", ""), ({},))]


def _resolved(rule: Mapping[str, Any], objects: Objects, ipsets: Mapping[str, tuple[str, ...]]) -> Rule:
    def addresses(spec: str) -> tuple[str, ...]:
        if spec.startswith("+"):
            return ipsets.get(spec[1:].removeprefix("guest/"), ())
        return tuple(_address(part, objects) for part in spec.split(",") if part)

    return Rule(
        type=rule["type"],
        action=rule["action"],
        source=addresses(rule.get("source", "")),
        dest=addresses(rule.get("dest", "")),
        **{key: str(rule.get(key, "")) for key in ("proto", "sport", "dport", "iface")},
    )


def _address(spec: str, objects: Objects) -> str:
    alias = objects.aliases.get(spec.removeprefix("guest/").lower())
    return str(alias["cidr"]) if alias else spec


def _networks(entries: list[dict[str, Any]], objects: Objects) -> list[Network]:
    """What is in a set: its members without those that are marked `nomatch`."""
    members: list[Network] = []
    for entry in sorted(entries, key=lambda entry: bool(entry.get("nomatch"))):
        network = ipaddress.ip_network(_address(entry["cidr"], objects), strict=False)
        members = _without(members, network) if entry.get("nomatch") else [*members, network]
    return sorted(members, key=lambda network: (network.version, int(network.network_address)))


def _without(members: list[Network], out: Network) -> list[Network]:
    left: list[Network] = []
    for member in members:
        if member.version != out.version or not member.overlaps(out):
            left.append(member)
        elif out.prefixlen > member.prefixlen:
            left.extend(member.address_exclude(out))  # type: ignore[arg-type]  # of one version, as checked above
    return left
