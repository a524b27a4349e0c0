"""Whether a request is one that Proxmox VE takes, by the schemas of two releases."""

import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

RELEASES = ("8.4", "9.2")
# Parameters that one release has and the driver sends to it alone: (endpoint, parameter, releases that have it).
GATED: tuple[tuple[str, str, frozenset[str]], ...] = ()
_WIDE = {"volume", "cidr"}  # what stands for the rest of the path, slashes included

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_ID = r"[A-Za-z][A-Za-z0-9_-]+"


def _network(value: str) -> bool:
    try:
        return bool(ipaddress.ip_network(value, strict=False))
    except ValueError:
        return False


def _addresses(value: str) -> bool:
    return all(re.fullmatch(rf"\+(dc/|guest/)?{_ID}", one) or _network(one) for one in value.split(","))


def _matches(pattern: str) -> Callable[[str], bool]:
    return lambda value: re.fullmatch(pattern, value) is not None


# The named formats that the driver's own values have (PVE::JSONSchema, PVE::Firewall); others are not looked into.
_FORMATS: Mapping[str, Callable[[str], bool]] = {
    "pve-node": _matches(_LABEL),
    "pve-vmid": lambda value: value.isdigit() and 100 <= int(value) <= 999_999_999,
    "pve-vmid-list": _matches(r"\d+([,; ]\d+)*"),
    "pve-storage-id": _matches(r"(?i)[a-z][a-z0-9\-_.]*[a-z0-9]"),
    "pve-configid": _matches(_ID),
    "pve-configid-list": _matches(rf"{_ID}([,; ]{_ID})*"),
    "pve-poolid": _matches(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+){0,2}"),
    "dns-name": _matches(rf"{_LABEL}(\.{_LABEL})*"),
    "pve-tag-list": _matches(r"(?i)[a-z0-9_][a-z0-9_\-+.]*([,; ][a-z0-9_][a-z0-9_\-+.]*)*"),
    "pve-volume-id": _matches(r"[A-Za-z][A-Za-z0-9\-_.]*[A-Za-z0-9]:.+"),
    "pve-fw-addr-spec": _addresses,
    "pve-fw-dport-spec": _matches(r"[0-9:,]+|[a-z0-9-]+"),
    "pve-fw-protocol-spec": _matches(r"[a-z0-9-]+"),
    "IPorCIDRorAlias": _network,
    "urlencoded": _matches(r"[A-Za-z0-9._~%!*'()-]*"),
}


def complaints(method: str, path: str, parameters: Mapping[str, list[str]]) -> Iterator[str]:
    """What is wrong with a request, by any of the releases. `path` is what follows `/api2/json`."""
    for release in RELEASES:
        endpoint, in_path = find(method, path)
        if not endpoint:
            yield f"{release}: the schema has no {method} {path}"
            continue
        for complaint in _check(release, endpoint, {**in_path, **parameters}):
            yield f"{release}: {method} {path}: {complaint}"


def find(method: str, path: str) -> tuple[str, dict[str, list[str]]]:
    """The endpoint of a request, as the schema spells it, and the parameters in its path."""
    for endpoint, pattern in _patterns():
        match = pattern.fullmatch(f"{method} {unquote(path)}")
        if match:
            return endpoint, {name: [value] for name, value in match.groupdict().items()}
    return "", {}


@cache
def schema(release: str) -> dict[str, dict[str, Any]]:
    """Parameters by endpoint."""
    known: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name(f"{release}.json").read_text())
    return known


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    def group(match: re.Match[str]) -> str:
        return f"(?P<{match[1]}>{'.+' if match[1] in _WIDE else '[^/]+'})"

    # An endpoint whose last part may hold anything is tried after its shorter neighbours.
    ordered = sorted(schema(RELEASES[0]), key=lambda endpoint: endpoint.endswith(("{cidr}", "{volume}")))
    return [(endpoint, re.compile(re.sub(r"{(\w+)}", group, endpoint))) for endpoint in ordered]


def _check(release: str, endpoint: str, given: Mapping[str, list[str]]) -> Iterator[str]:
    known = schema(release)[endpoint]
    for name, values in given.items():
        rule = known.get(name) or known.get(re.sub(r"\d+$", "[n]", name))
        if rule:
            yield from (f"{name}: {wrong}" for wrong in _value(rule, values))
            yield from _requires(name, rule, given)
        elif not _gated(release, endpoint, name):
            yield f"{name}: there is no such parameter"
    yield from (f"{name}: is missing" for name, rule in known.items() if _needed(rule) and name not in given)


def _needed(rule: Mapping[str, Any]) -> bool:
    return not rule.get("optional")


def _requires(name: str, rule: Mapping[str, Any], given: Mapping[str, list[str]]) -> Iterator[str]:
    if rule.get("requires") and rule["requires"] not in given:
        yield f"{name}: needs {rule['requires']}"


def _gated(release: str, endpoint: str, name: str) -> bool:
    return any((endpoint, name) == row[:2] and release not in row[2] for row in GATED)


def _value(rule: Mapping[str, Any], values: list[str]) -> Iterator[str]:
    if rule.get("type") != "array" and len(values) > 1:
        yield "was sent more than once"
    for value in values:
        yield from _typed(str(rule.get("type", "string")), rule, value)
        yield from _shaped(rule, value)


def _typed(kind: str, rule: Mapping[str, Any], value: str) -> Iterator[str]:
    if kind == "boolean" and value not in {"0", "1"}:
        yield f"{value!r} is no boolean"
    if kind not in {"integer", "number"}:
        return
    if not re.fullmatch(r"-?\d+" if kind == "integer" else r"-?\d+(\.\d+)?", value):
        yield f"{value!r} is no {kind}"
    elif not rule.get("minimum", float(value)) <= float(value) <= rule.get("maximum", float(value)):
        yield f"{value} is out of range"


def _shaped(rule: Mapping[str, Any], value: str) -> Iterator[str]:
    if not rule.get("minLength", 0) <= len(value) <= rule.get("maxLength", len(value)):
        yield f"has {len(value)} characters"
    if "enum" in rule and value not in rule["enum"]:
        yield f"{value!r} is none of {rule['enum']}"
    if "pattern" in rule and not re.fullmatch(_python(rule["pattern"]), value):
        yield f"{value!r} does not match {rule['pattern']}"
    format_ = rule.get("format")
    if isinstance(format_, dict):
        yield from _property_string(format_, value)
    elif format_ in _FORMATS and not _FORMATS[format_](value):
        yield f"{value!r} is no {format_}"


def _property_string(format_: Mapping[str, Any], value: str) -> Iterator[str]:
    for part in value.split(","):
        key, equals, _ = part.partition("=")
        if not equals and not format_["bare"]:
            yield f"{part!r} has no key"
        elif equals and key not in format_["keys"]:
            yield f"there is no key {key!r} in it"


def _python(pattern: str) -> str:
    """Perl writes `(?^:…)` for a group that inherits no flags."""
    return pattern.replace("(?^:", "(?:")
