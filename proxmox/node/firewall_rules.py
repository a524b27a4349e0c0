"""How firewall rules are checked, with Proxmox's complaints (pve-firewall: Firewall.pm), and what its macros stand for.

Only macros that make sense for a machine of ours are known; security groups are not.
"""

import ipaddress
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any

from proxmox.node.errors import BadParameters

NAME = r"[A-Za-z][A-Za-z0-9\-_]+"
PROPERTIES = (
    *("type", "action", "enable", "macro", "iface", "source", "dest", "proto", "sport", "dport"),
    *("log", "icmp-type", "comment"),
)
_WITH_PORTS = frozenset({"tcp", "6", "udp", "17", "udplite", "136", "dccp", "33", "sctp", "132"})
_ICMP = frozenset({"icmp", "icmpv6", "ipv6-icmp"})
_ICMP_TYPES = frozenset({"echo-request", "echo-reply", "destination-unreachable", "time-exceeded", "any"})
_MOST_PORTS = 15


def _ports(proto: str, *ports: str) -> tuple[dict[str, str], ...]:
    return tuple({"proto": proto, "dport": port} for port in ports)


MACROS: Mapping[str, tuple[Mapping[str, str], ...]] = {
    "DNS": _ports("udp", "53") + _ports("tcp", "53"),
    "HTTP": _ports("tcp", "80"),
    "HTTPS": _ports("tcp", "443"),
    "NTP": _ports("udp", "123"),
    "Ping": ({"proto": "icmp", "dport": "echo-request"},),
    "PostgreSQL": _ports("tcp", "5432"),
    "SMTP": _ports("tcp", "25"),
    "SSH": _ports("tcp", "22"),
    "Web": _ports("tcp", "80", "443"),
}


class _Wrong(Exception):
    """What is wrong with one property."""


def check(rule: dict[str, Any], sets: Mapping[str, Any], aliases: Mapping[str, Mapping[str, Any]]) -> None:
    """Verify a VM's rule and note its IP version. Raises `BadParameters` with the first complaint."""
    for name, verify in _CHECKS.items():
        if rule.get(name):
            _complain(name, verify, rule, sets, aliases)
    versions = {_version(rule.get(name, ""), aliases) for name in ("source", "dest")}
    versions |= {{"icmp": 4, "icmpv6": 6, "ipv6-icmp": 6}.get(rule.get("proto", ""), 0)}
    versions -= {0}
    if len(versions) > 1:
        raise BadParameters({"dest": "detected mixed ipv4/ipv6 addresses in rule"})
    rule.pop("ipversion", None)
    if versions:
        rule["ipversion"] = versions.pop()


def check_formats(given: Mapping[str, Any]) -> None:
    """What the API's schema says about these parameters. Raises `BadParameters` with every complaint."""
    errors = {}
    for name, verify in _FORMATS.items():
        try:
            verify(str(given.get(name, "")))
        except _Wrong as wrong:
            errors[name] = f"invalid format - {wrong}\n"
    if errors:
        raise BadParameters(errors)


def check_member(cidr: str) -> str:
    """An address or network as a set keeps it: host bits cleared, a single address without a length."""
    try:
        network = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        wrong = "value does not look like a valid IP address or CIDR network"
        raise BadParameters({"cidr": f"invalid format - {wrong}\n"}) from None
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _complain(
    name: str,
    verify: Callable[..., None],
    rule: Mapping[str, Any],
    sets: Mapping[str, Any],
    aliases: Mapping[str, Any],
) -> None:
    try:
        verify(name, rule, sets, aliases)
    except _Wrong as wrong:
        raise BadParameters({name: str(wrong)}) from None


# --- single properties ---


def _type(name: str, rule: Mapping[str, Any], sets: Any, aliases: Any) -> None:
    if rule["type"] not in {"in", "out", "group"}:
        raise _Wrong(f"invalid rule type '{rule['type']}' for rule_env 'vm'")


def _action(name: str, rule: Mapping[str, Any], sets: Any, aliases: Any) -> None:
    if rule["type"] != "group" and rule["action"] not in {"ACCEPT", "DROP", "REJECT"}:
        raise _Wrong(f"unknown action '{rule['action']}'")


def _iface(name: str, rule: Mapping[str, Any], sets: Any, aliases: Any) -> None:
    if not re.fullmatch(r"net\d+", rule["iface"]):
        raise _Wrong(r"value does not match the regex pattern 'net\d+'")


def _macro(name: str, rule: Mapping[str, Any], sets: Any, aliases: Any) -> None:
    if rule["macro"] not in MACROS:
        raise _Wrong(f"unknown macro '{rule['macro']}'")


def _port(name: str, rule: Mapping[str, Any], sets: Any, aliases: Any) -> None:
    proto = rule.get("proto", "")
    if not proto:
        raise BadParameters({"proto": f"missing property - '{name}' requires this property"})
    if proto not in _WITH_PORTS and not (name == "dport" and proto in _ICMP):
        raise _Wrong(f"protocol '{proto}' does not support ports")


def _icmp_type(name: str, rule: Mapping[str, Any], sets: Any, aliases: Any) -> None:
    if rule.get("proto") not in _ICMP:
        raise BadParameters({"proto": "missing property - 'icmp-type' requires this property"})
    if rule.get("dport"):
        raise _Wrong("'icmp-type' cannot be specified together with 'dport'")


def _peer(name: str, rule: Mapping[str, Any], sets: Mapping[str, Any], aliases: Mapping[str, Any]) -> None:
    value = str(rule[name])
    if value.startswith("+"):
        match = re.fullmatch(rf"\+(?:guest/|dc/|sdn/)?({NAME})", value)
        if not match:
            raise _Wrong(f"invalid ipset name '{value}'")
        if match[1] not in sets:
            raise _Wrong(f"no such ipset '{match[1]}'")
    elif (match := re.fullmatch(rf"(?:guest/|dc/)?({NAME})", value)) and match[1].lower() not in aliases:
        raise _Wrong(f"no such alias '{value}'")


_CHECKS: Mapping[str, Callable[..., None]] = {
    "type": _type,
    "action": _action,
    "iface": _iface,
    "macro": _macro,
    "dport": _port,
    "icmp-type": _icmp_type,
    "sport": _port,
    "source": _peer,
    "dest": _peer,
}


# --- formats ---


def _port_list(text: str, *, icmp: bool) -> None:
    elements = text.split(",") if text else []
    if text.endswith(","):
        raise _Wrong("extraneous commas in list")
    count = sum(_port_count(element, icmp=icmp) for element in elements)
    if count > _MOST_PORTS:
        raise _Wrong(f"too many entries in port list (> {_MOST_PORTS} numbers)")


def _port_count(text: str, *, icmp: bool) -> int:
    """How many numbers an element counts as: a range as two."""
    first, separator, last = text.partition(":")
    for number in (first, last) if separator else (first,):
        named = not separator and ((icmp and number in _ICMP_TYPES) or _is_service(number))
        if not named and not (number.isdecimal() and int(number) <= 65535):
            raise _Wrong(f"invalid port '{number}'")
    if separator and int(first) > int(last):
        raise _Wrong(f"backwards range '{first}:{last}' not allowed, did you mean '{last}:{first}'?")
    return 2 if separator else 1


def _is_service(name: str) -> bool:
    try:
        return bool(not name.isdecimal() and socket.getservbyname(name))
    except OSError:
        return False


def _protocol(text: str) -> None:
    if not text or text in _ICMP or text in _WITH_PORTS or (text.isdecimal() and int(text) < 256):
        return
    try:
        socket.getprotobyname(text)
    except OSError:
        raise _Wrong(f"unknown protocol '{text}'") from None


def _addresses(text: str) -> None:
    if not text or re.fullmatch(rf"\+\S+|(?:guest/|dc/)?{NAME}", text):
        return
    if text.endswith(","):
        raise _Wrong("extraneous commas in list")
    versions = {_network_version(element) for element in text.split(",")}
    if len(versions) > 1:
        raise _Wrong(f"detected mixed ipv4/ipv6 addresses in address list '{text}'")
    if "-" in text and "," in text:
        raise _Wrong("you can't use a range in a list")


def _network_version(text: str) -> int:
    try:
        if "-" in text:
            first, last = (ipaddress.ip_address(end.strip()) for end in text.split("-", 1))
            if first.version == last.version and int(first) <= int(last):
                return first.version
            raise ValueError("begin is greater than end")
        return ipaddress.ip_network(text).version
    except ValueError as error:
        raise _Wrong(f"invalid IP address: {error}") from None


def _version(text: str, aliases: Mapping[str, Mapping[str, Any]]) -> int:
    """4 or 6; 0 when the addresses are a set's or there are none."""
    if not text or text.startswith("+"):
        return 0
    alias = aliases.get(text.removeprefix("guest/").lower())
    return _network_version(str(alias["cidr"]) if alias else text.split(",")[0])


_FORMATS: Mapping[str, Callable[[str], None]] = {
    "source": _addresses,
    "dest": _addresses,
    "sport": lambda text: _port_list(text, icmp=False),
    "dport": lambda text: _port_list(text, icmp=True),
    "proto": _protocol,
}
