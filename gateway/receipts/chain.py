"""The form of a receipt: its canonical text, its digests, and what is signed. Pure; docs/receipts.md describes it.

Frozen: receipts outlive us. Whatever is told otherwise in future needs another `FORMAT`.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

FORMAT = "autovibe-receipt/1"
NOTHING = "0" * 64  # what comes before the first entry

Entry = dict[str, Any]


def canonical(value: object) -> bytes:
    """Its one text: keys sorted, no spaces, UTF-8. With whole numbers alone that is RFC 8785."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def linked(entries: Iterable[Entry]) -> list[Entry]:
    """The entries in a row: each with its number, the digest of the one before, and its own."""
    made: list[Entry] = []
    previous = NOTHING
    for number, entry in enumerate(entries):
        whole = {"entry": number, **entry, "previous": previous}
        previous = hashlib.sha256(canonical(whole)).hexdigest()
        made.append({**whole, "digest": previous})
    return made


def message(*, count: int, digest: str, signed_at: str) -> bytes:
    """What is signed: how many entries there are, the digest of the last, and when that was said."""
    return f"{FORMAT}\n{count}\n{digest}\n{signed_at}\n".encode()
