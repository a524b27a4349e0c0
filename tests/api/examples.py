"""The examples of the API's description: requests that are made here, and what they were answered.

    .venv/bin/pytest tests/api/test_examples.py --write-examples

writes them anew, after an answer has changed its form.
"""

import json
from pathlib import Path
from typing import Any

from rest_framework.test import APIClient

from autovibe import schema

WHERE = Path(schema.EXAMPLES)
SPAWN = {"project": "demo", "type": "vibe", "prompt": "Write a fizzbuzz with tests and make them pass"}
FILES = [{"path": "notes.md", "content": "Mind the tests.\n"}]
# By the operation's name: method, address, body.
REQUESTS: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "index": ("get", "", None),
    "me": ("get", "me/", None),
    "health": ("get", "health/", None),
    "projects_list": ("get", "projects/", None),
    "projects_show": ("get", "projects/demo/", None),
    "projects_create": ("post", "projects/", {"slug": "shop", "name": "The shop"}),
    "machines_list": ("get", "machines/?page_size=1", None),
    "machines_counts": ("get", "machines/counts/", None),
    "machines_show": ("get", "machines/{machine}/", None),
    "machines_log": ("get", "machines/{machine}/log/", None),
    "machines_spawn": ("post", "machines/", {**SPAWN, "files": FILES, "limits": {"money": 2_000_000}}),
    "machines_checkpoint": ("post", "machines/{machine}/checkpoint/", {"why": "Before the risky part"}),
    "machines_pause": ("post", "machines/{machine}/pause/", None),
    "machine_types_list": ("get", "machine-types/", None),
    "checkpoints_list": ("get", "checkpoints/?page_size=1", None),
    "checkpoints_show": ("get", "checkpoints/{checkpoint}/", None),
    "checkpoints_mark": ("patch", "checkpoints/{checkpoint}/", {"pinned": True, "name": "It works"}),
    "checkpoints_manifest": ("get", "checkpoints/{checkpoint}/manifest/", None),
    "checkpoints_files": ("get", "checkpoints/{checkpoint}/files/", None),
    "checkpoints_diff": ("get", "checkpoints/{first}/diff/?to={checkpoint}", None),
    "checkpoints_branch": ("post", "checkpoints/{checkpoint}/branch/", {"prompt": "Now make it buzz at 7"}),
    "operations_list": ("get", "operations/?page_size=1", None),
    "operations_show": ("get", "operations/{operation}/", None),
    "budgets_list": ("get", "projects/demo/budgets/", None),
    "budgets_set": ("put", "projects/demo/budgets/", {"resource": "money", "limit": 20_000_000}),
    "calls_list": ("get", "machines/{machine}/calls/", None),
}


def answered(client: APIClient, names: dict[str, str]) -> dict[str, Any]:
    """Each request with its answer, as they are written down."""
    found = {}
    for operation, (method, address, body) in REQUESTS.items():
        response = getattr(client, method)("/api/v1/" + address.format(**names), body)
        assert response.status_code < 300, (operation, response.content)
        found[operation] = {"status": str(response.status_code), "request": body, "answer": response.json()}
    return found


def written() -> dict[str, Any]:
    return dict(json.loads(WHERE.read_text()))


def shape(value: Any) -> Any:
    """What an answer is made of: the names in it, wherever they are."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return None
