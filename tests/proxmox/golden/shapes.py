"""Bodies reduced to what has to agree: keys, JSON types, and the few values that mean the same everywhere."""

from collections.abc import Iterator
from typing import Any

# Values of these keys are compared, not only their types.
LITERAL = frozenset(
    (
        *("name", "description", "parent", "running", "vmstate", "snapstate", "lock", "template", "tags"),
        *("cores", "memory", "agent", "boot", "scsihw", "scsi0", "scsi1", "unused0", "serial0", "protection"),
        *("hasFeature", "status", "qmpstatus", "exited", "exitcode", "signal", "out-data", "err-data"),
        *("content", "notes", "protected", "key", "pending", "delete", "subdir", "cmd"),
        *("success", "poolid", "comment", "roleid", "ugid", "path", "propagate", "privs", "userid", "enable"),
        *(
            "realm",
            "tokenid",
            "expire",
            "privsep",
            "full-tokenid",
            "username",
            "mark",
            "format",
            "bytes-read",
        ),
        *("host-name", "managed", "mac_prefix", "truncated"),
    )
)
LONG = 1000  # characters; of longer values the type is enough
# A list of objects is compared row by row when all its rows have one of these, tried in this order; else as one.
IDENTITIES = (("type", "realm"), ("key",), ("poolid",), ("ugid", "path"), ("roleid",), ("userid",), ("type",))
SNAPSHOT = ("name", "description")
_NAMES = {str: "string", bool: "boolean", type(None): "null", int: "number", float: "number"}


def reduced(value: Any, key: str = "") -> Any:
    """A body, or a part of it that stands under `key`."""
    if isinstance(value, dict):
        literal = LITERAL | {"release", "version"} if "repoid" in value else LITERAL
        named = frozenset() if "upid" in value else literal  # of tasks it depends on what ran before
        return {name: _value(inner, name, named) for name, inner in value.items()}
    if isinstance(value, list):
        return _reduced_list(value)
    return _value(value, key, LITERAL)


def _value(value: Any, key: str, literal: frozenset[str]) -> Any:
    if isinstance(value, dict | list):
        return reduced(value, key)
    if key in literal and len(str(value)) < LONG:
        return {"is": _in_any_order(value) if key in {"content", "privs"} else value}
    return {"type": _NAMES[type(value)]}


def _in_any_order(value: Any) -> Any:
    return ",".join(sorted(value.split(","))) if isinstance(value, str) else value


def _reduced_list(rows: list[Any]) -> Any:
    if not rows or not all(isinstance(row, dict) for row in rows):
        return {"of": sorted({_NAMES.get(type(row), "object") for row in rows})}
    groups: dict[str, list[Any]] = {}
    for row in rows:
        groups.setdefault(_identity(row), []).append(reduced(row))
    return {"rows": {name: _merged(group) for name, group in sorted(groups.items())}}


def _identity(row: dict[str, Any]) -> str:
    if row.keys() >= set(SNAPSHOT) and ("snaptime" in row or row["name"] == "current"):
        return str(row["name"])
    if "volid" in row:
        return str(row["content"])
    for keys in () if "upid" in row else IDENTITIES:
        if row.keys() >= set(keys):
            return " ".join(str(row[key]) for key in keys)
    return "*"


def _merged(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows of one kind as one: what every row has, and what only some have."""
    if len(rows) == 1:
        return {"always": rows[0], "sometimes": {}}
    always = set(rows[0]).intersection(*rows[1:])
    merged: dict[str, Any] = {"always": {}, "sometimes": {}}
    for row in rows:
        for key, value in row.items():
            place = merged["always" if key in always else "sometimes"]
            place[key] = _either(place.get(key), value)
    return merged


def _either(one: Any, other: Any) -> Any:
    if one is None or one == other:
        return other
    kinds = sorted({*_kinds(one), *_kinds(other)})
    return {"type": " or ".join(kinds)} if kinds else other


def _kinds(part: Any) -> list[str]:
    if set(part) == {"is"}:
        return [_NAMES[type(part["is"])]]
    return part["type"].split(" or ") if set(part) == {"type"} and isinstance(part["type"], str) else []


def differences(recorded: Any, live: Any, path: str = "data") -> Iterator[str]:
    """What is different, a sentence each; both bodies reduced."""
    if recorded == live:
        return
    kinds = _kinds(recorded) if isinstance(recorded, dict) else []
    if kinds:
        yield from _of_values(recorded, live, path, kinds)
    elif set(recorded) == {"rows"}:
        yield from _of_rows(recorded["rows"], live.get("rows") if isinstance(live, dict) else None, path)
    elif not isinstance(live, dict) or _kinds(live) or "rows" in live or "of" in live or "of" in recorded:
        yield f"{path}: {_said(live)}, not {_said(recorded)}"
    else:
        yield from _of_objects(recorded, recorded, live, path)


def _of_values(recorded: Any, live: Any, path: str, kinds: list[str]) -> Iterator[str]:
    if not set(_kinds(live)) or not set(_kinds(live)) <= set(kinds):
        yield f"{path}: {_said(live)}, not {_said(recorded)}"
    elif "is" in recorded and "is" in live:
        yield f"{path}: {live['is']!r}, not {recorded['is']!r}"


def _of_rows(recorded: dict[str, Any], live: dict[str, Any] | None, path: str) -> Iterator[str]:
    if live is None:
        yield f"{path}: no rows"
        return
    yield from (f"{path}[{name}]: no such row" for name in recorded.keys() - live.keys())
    yield from (f"{path}[{name}]: a row that was not recorded" for name in live.keys() - recorded.keys())
    for name in recorded.keys() & live.keys():
        always, known = recorded[name]["always"], recorded[name]["always"] | recorded[name]["sometimes"]
        here = live[name]["always"]
        yield from _of_objects(always, known, here, f"{path}[{name}]", live[name]["sometimes"])


def _of_objects(
    required: dict[str, Any],
    known: dict[str, Any],
    live: dict[str, Any],
    path: str,
    more: dict[str, Any] | None = None,
) -> Iterator[str]:
    yield from (f"{path}.{key}: missing" for key in sorted(required.keys() - live.keys()))
    for key, value in sorted((live | (more or {})).items()):
        if key in known:
            yield from differences(known[key], value, f"{path}.{key}")
        else:
            yield f"{path}.{key}: not in the recording"


def _said(part: Any) -> str:
    if not isinstance(part, dict):
        return repr(part)
    if kinds := _kinds(part):
        return f"{part['is']!r}" if "is" in part else " or ".join(kinds)
    if "rows" in part:
        return "a list of objects"
    if "of" in part:
        return f"a list of {' or '.join(part['of'])}" if part["of"] else "an empty list"
    return "an object"
