"""What can be asked, as data: of each verb the command, and the method, path and body of its request.

The pages of the server read the same file for “Copy as”, and tests hold both of them to it.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).with_name("verbs.json")


class Verb(NamedTuple):
    """A verb. Names in braces stand for what it is asked of; `options` are the flags of fields that may be given."""

    name: str
    command: str
    method: str
    path: str
    body: dict[str, Any]
    options: dict[str, str]

    def segments(self, **values: str) -> tuple[str, ...]:
        """The path as the client takes it."""
        return tuple(part.format(**values) for part in self.path.partition("?")[0].strip("/").split("/"))


@lru_cache(maxsize=1)
def table() -> dict[str, Verb]:
    """Every verb by its name."""
    rows = json.loads(FILE.read_text(encoding="utf-8"))
    return {row["name"]: Verb(**{"body": {}, "options": {}, **row}) for row in rows}
