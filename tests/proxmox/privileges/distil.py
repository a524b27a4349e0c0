"""Take out of Proxmox VE's API schema which privileges the routes of the embedded node need.

    python -m tests.proxmox.privileges.distil 9.2 apidoc.json.gz

The source is the tree that `/usr/share/pve-docs/api-viewer/apidoc.js` of a node holds, as JSON.
"""

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from proxmox.node import api, routes


def _privileges(tree: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for entry in tree:
        for method, info in entry.get("info", {}).items():
            yield f"{method} {entry['path']}", info.get("permissions") or {}
        yield from _privileges(entry.get("children", []))


def main(release: str, source: str) -> None:
    api.load()
    known = dict(_privileges(json.loads(gzip.decompress(Path(source).read_bytes()))["apidoc"]))
    names = sorted({f"{route.method} {route.path}" for route in routes.ROUTES} & known.keys())
    rows = [f"{json.dumps(name)}: {json.dumps(known[name])}" for name in names]
    Path(__file__).with_name(f"{release}.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
