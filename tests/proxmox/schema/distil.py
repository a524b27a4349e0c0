"""Take out of Proxmox VE's API schema what the driver calls.

    python -m tests.proxmox.schema.distil 9.2 apidoc.json.gz

The source is the tree that `/usr/share/pve-docs/api-viewer/apidoc.js` of a node holds, as JSON. Only what decides about
a request is kept; prose is not.
"""

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Every method and path that the driver calls. A test walks them all.
ENDPOINTS = Path(__file__).with_name("endpoints.txt").read_text().splitlines()
KEPT = (
    "type", "optional", "enum", "minimum", "maximum", "minLength", "maxLength", "pattern", "format", "requires"
)  # fmt: skip


def distil(tree: list[dict[str, Any]]) -> dict[str, Any]:
    """Parameters by endpoint: `{"GET /version": {}, …}`. Raises `KeyError` for one that the schema does not have."""
    known = dict(_methods(tree))
    return {endpoint: _parameters(known[endpoint]) for endpoint in ENDPOINTS}


def _methods(tree: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for entry in tree:
        for method, info in entry.get("info", {}).items():
            yield f"{method} {entry['path']}", info
        yield from _methods(entry.get("children", []))


def _parameters(info: dict[str, Any]) -> dict[str, Any]:
    assert info["parameters"].get("additionalProperties") in (0, None), (
        "the validator knows no other parameters"
    )
    properties = info["parameters"].get("properties") or {}
    return {name: _kept(known) for name, known in sorted(properties.items())}


def _kept(known: dict[str, Any]) -> dict[str, Any]:
    kept = {key: known[key] for key in KEPT if known.get(key) is not None}
    if isinstance(kept.get("format"), dict):
        kept["format"] = _property_string(kept["format"])
    return kept


def _property_string(parts: dict[str, Any]) -> dict[str, Any]:
    """What may stand in `key=value,key=value`, and which value may stand without its key."""
    bare = next((name for name, part in parts.items() if part.get("default_key")), "")
    return {"keys": sorted(parts), "bare": bare}


def main(release: str, source: str) -> None:
    tree = json.loads(gzip.decompress(Path(source).read_bytes()))["apidoc"]
    lines = [f"{json.dumps(name)}: {json.dumps(known)}" for name, known in distil(tree).items()]
    Path(__file__).with_name(f"{release}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
