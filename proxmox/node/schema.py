"""Parameter checking the way Proxmox does it: strict, declarative, with its literal complaints.

Only what the node's own tables use; the sentences come from PVE::JSONSchema as recorded from a real server.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from proxmox.node.errors import BadParameters

UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"
MISSING = "property is missing and it is not optional"

_NET_MODELS = (
    "e1000, e1000-82540em, e1000-82544gc, e1000-82545em, e1000e, i82551, i82557b, i82559er, "
    "ne2k_isa, ne2k_pci, pcnet, rtl8139, virtio, vmxnet3"
)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?"


@dataclass(frozen=True, slots=True)
class Parameter:
    """What one parameter may be. `kind`: string, integer, number, boolean or array."""

    kind: str = "string"
    optional: bool = True
    format: str = ""
    minimum: float | None = None
    maximum: float | None = None
    max_length: int | None = None
    enum: tuple[str, ...] = ()
    pattern: str = ""
    requires: str = ""


Schema = Mapping[str, Parameter]


class _Wrong(Exception):
    """What is wrong with one value."""


def check(schema: Schema, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters, converted to int, float, bool or list. A name `scsi[n]` in `schema` stands for scsi0, scsi1, ….

    Raises `BadParameters` with every complaint at once.
    """
    errors: dict[str, str] = {}
    checked: dict[str, Any] = {}
    for name, value in given.items():
        parameter = schema.get(name) or schema.get(re.sub(r"\d+$", "[n]", name))
        try:
            checked[name] = _convert(parameter, name, value)
        except _Wrong as wrong:
            errors[name] = str(wrong)
        else:
            if parameter and parameter.requires and parameter.requires not in given:
                errors[parameter.requires] = f"missing property - '{name}' requires this property"
    errors |= {name: MISSING for name, p in schema.items() if not p.optional and name not in given}
    if errors:
        raise BadParameters(errors)
    return checked


def _convert(parameter: Parameter | None, name: str, value: Any) -> Any:
    if parameter is None:
        raise _Wrong(UNKNOWN)
    if parameter.kind == "array":
        return [str(item) for item in (value if isinstance(value, list) else [value])]
    text = _scalar(parameter.kind, value)
    converted = _KINDS[parameter.kind](text)
    _check_text(parameter, name, text)
    _check_range(parameter, converted)
    return converted


def _scalar(kind: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list | dict):
        raise _Wrong(f"type check ('{kind}') failed - got {'ARRAY' if isinstance(value, list) else 'HASH'}")
    return "" if value is None else str(value)


def _typed(kind: str, pattern: str, convert: Callable[[str], Any]) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise _Wrong(f"type check ('{kind}') failed - got '{text}'")
        return convert(text)

    return parse


_KINDS: dict[str, Callable[[str], Any]] = {
    "string": str,
    "integer": _typed("integer", r"[+-]?\d+", int),
    "number": _typed("number", r"[+-]?(\d+\.?\d*|\.\d+)", float),
    "boolean": _typed("boolean", r"[01]", lambda text: text == "1"),
}


def _check_text(parameter: Parameter, name: str, text: str) -> None:
    if parameter.format:
        _FORMATS[parameter.format](name, text)
    if parameter.pattern and not re.fullmatch(parameter.pattern, text):
        raise _Wrong("value does not match the regex pattern")
    if parameter.max_length is not None and len(text) > parameter.max_length:
        raise _Wrong(f"value may only be {parameter.max_length} characters long")
    if parameter.enum and text not in parameter.enum:
        raise _Wrong(f"value '{text}' does not have a value in the enumeration '{', '.join(parameter.enum)}'")


def _check_range(parameter: Parameter, value: Any) -> None:
    if parameter.minimum is not None and value < parameter.minimum:
        raise _Wrong(f"value must have a minimum value of {parameter.minimum}")
    if parameter.maximum is not None and value > parameter.maximum:
        raise _Wrong(f"value must have a maximum value of {parameter.maximum}")


def _matching(pattern: str, complaint: str) -> Callable[[str, str], None]:
    def verify(name: str, text: str) -> None:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise _Wrong("invalid format - " + complaint.format(text) + "\n")

    return verify


def _listed(known: tuple[str, ...], complaint: str) -> Callable[[str, str], None]:
    def verify(name: str, text: str) -> None:
        for item in filter(None, re.split(r"[,; ]+", text)):
            if item not in known:
                raise _Wrong("invalid format - " + complaint.format(item) + "\n")

    return verify


def _urlencoded(name: str, text: str) -> None:
    if not re.fullmatch(r"[-%a-zA-Z0-9_.!~*'()]*", text):
        raise _Wrong(f"invalid format - invalid urlencoded string: {text}\n")


def _memory(name: str, text: str) -> None:
    value = text.removeprefix("current=")
    if not value.isdecimal():
        raise _Wrong(
            f"invalid format - format error\nmemory.current: type check ('integer') failed - got '{value}'\n"
        )
    if int(value) < 16:
        raise _Wrong("invalid format - format error\nmemory.current: value must have a minimum value of 16\n")


def _drive(name: str, text: str) -> None:
    volume = text.partition(",")[0].removeprefix("file=")
    if volume in {"none", "cdrom"} or re.fullmatch(r"[A-Za-z][\w.\-]*[A-Za-z0-9]:\S+", volume):
        return
    complaint = f"unable to parse volume ID '{volume}'"
    raise _Wrong(f"invalid format - format error\n{name}.file: invalid format - {complaint}\n\n")


def _net(name: str, text: str) -> None:
    model = re.split("[=,]", text, maxsplit=1)[0]
    if model not in _NET_MODELS.split(", "):
        complaint = f"value '{model}' does not have a value in the enumeration '{_NET_MODELS}'"
        raise _Wrong(f"invalid format - format error\n{name}.model: {complaint}\n")


_FORMATS: dict[str, Callable[[str, str], None]] = {
    "pve-vmid": _matching(r"[1-9][0-9]{2,8}", "value does not look like a valid VM ID"),
    "pve-configid": _matching(r"[A-Za-z][A-Za-z0-9_-]+", "invalid configuration ID '{}'"),
    "dns-name": _matching(rf"(?:{_LABEL}\.)*{_LABEL}", "value does not look like a valid DNS name"),
    "pve-storage-id": _matching(
        r"[A-Za-z][\w.\-]*[A-Za-z0-9]", "storage ID '{}' contains illegal characters"
    ),
    "pve-storage-content-list": _listed(
        ("images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none"),
        "invalid content type '{}'",
    ),
    "urlencoded": _urlencoded,
    "pve-poolid": _matching(r"[A-Za-z][\w.\-]*(?:/[A-Za-z][\w.\-]*){0,2}", "invalid pool name '{}'"),
    "pve-vmid-list": _matching(
        r"[1-9][0-9]{2,8}(?:[,; ]+[1-9][0-9]{2,8})*", "value does not look like a valid VM ID"
    ),
    "pve-tag-list": _matching(r"(?:[A-Za-z0-9_][\w\-+.]*[,; ]*)*", "invalid characters in tag"),
    "memory": _memory,
    "drive": _drive,
    "net": _net,
}
