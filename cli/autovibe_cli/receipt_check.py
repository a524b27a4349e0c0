"""Verifying a receipt without the server that issued it: docs/receipts.md describes the form that is checked here.

Only the signature needs a package that is not Python's own, `cryptography`.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from autovibe_cli.errors import Failure

FORMAT = "autovibe-receipt/1"
NOTHING = "0" * 64
HEAD = {"count", "digest", "signed_at", "key", "signature"}


def verify(content: bytes, keys: list[str]) -> list[str]:
    """What is wrong with the receipt, in sentences; nothing where it is as it was signed, by one of these keys."""
    try:
        receipt = json.loads(content, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        return [f"This is no receipt: {error}."]
    if found := _shape(receipt):
        return [found]
    wrong = [*_chain(receipt["entries"]), *_head(receipt, keys)]
    return wrong or _sums(receipt["entries"])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A name that stands there twice would be read in one way here and in another elsewhere."""
    told = dict(pairs)
    if len(told) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in one object")
    return told


def _shape(receipt: Any) -> str:
    if not isinstance(receipt, dict) or receipt.get("format") != FORMAT:
        return f"This is no receipt of the form {FORMAT}."
    if extra := sorted(receipt.keys() - {"format", "entries", "head"}):
        return f"{extra[0]!r} does not belong to a receipt: it is not signed."
    entries, head = receipt.get("entries"), receipt.get("head")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries) or not entries:
        return "Its entries are missing."
    if not isinstance(head, dict) or head.keys() != HEAD:
        return f"Its head has other fields than {', '.join(sorted(HEAD))}."
    return ""


def _chain(entries: list[dict[str, Any]]) -> list[str]:
    wrong = []
    previous = NOTHING
    for number, entry in enumerate(entries):
        if entry.get("entry") != number:
            wrong.append(f"{_name(number, entry)}: entry {entry.get('entry')!r} stands here.")
        if entry.get("previous") != previous:
            wrong.append(f"{_name(number, entry)}: it does not follow the entry before it.")
        previous = digest_of(entry)
        if entry.get("digest") != previous:
            wrong.append(f"{_name(number, entry)}: it was changed, its digest is another one.")
            previous = str(entry.get("digest"))
    return wrong


def digest_of(entry: dict[str, Any]) -> str:
    """SHA-256 of the entry's canonical text, without its own digest."""
    told = {name: value for name, value in entry.items() if name != "digest"}
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _name(number: int, entry: dict[str, Any]) -> str:
    which = entry.get(str(entry.get("kind")))
    shown = f" {which}" if isinstance(which, (str, int)) else ""
    return f"Entry {number} ({entry.get('kind', 'of no kind')}{shown})"


def _head(receipt: dict[str, Any], keys: list[str]) -> list[str]:
    head, entries = receipt["head"], receipt["entries"]
    wrong = []
    if head["count"] != len(entries):
        wrong.append(f"Head: it is for {head['count']} entries, and there are {len(entries)}.")
    if head["digest"] != entries[-1].get("digest"):
        wrong.append("Head: its digest is not that of the last entry.")
    if head["key"] not in keys:
        wrong.append(f"Head: it was signed with {head['key']}, which is not a key that was given.")
    message = f"{FORMAT}\n{head['count']}\n{head['digest']}\n{head['signed_at']}\n"
    if not is_signed(
        message.encode(errors="replace"), key=str(head["key"]), signature=str(head["signature"])
    ):
        wrong.append("Head: the signature is not for this.")
    return wrong


def is_signed(message: bytes, *, key: str, signature: str) -> bool:
    """Whether the Ed25519 signature is that key's. Raises `Failure` where the package for that is not installed."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise Failure(
            "To verify a signature the package cryptography has to be installed: pip install cryptography. "
            "docs/receipts.md shows how openssl does it."
        ) from None
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return _is_canonical(key) and _is_canonical(signature)


def _is_canonical(text: str) -> bool:
    """Hexadecimal as it is issued: `fromhex` takes capitals and spaces, too."""
    return all(letter in "0123456789abcdef" for letter in text)


def _sums(entries: list[dict[str, Any]]) -> list[str]:
    """What is signed also has to add up."""
    of = {
        kind: [entry for entry in entries if entry["kind"] == kind] for kind in ("call", "compute", "totals")
    }
    calls, total = of["call"], of["totals"][0]
    micros = sum(entry["micros"] for entry in (*calls, *of["compute"]))
    wrong = []
    if total["calls"] != len(calls):
        wrong.append(f"Totals: {total['calls']} calls are counted, and there are {len(calls)}.")
    if total["micros"] != micros:
        wrong.append(f"Totals: {total['micros']} micros are told, and the entries come to {micros}.")
    wrong += [
        f"Call {entry['call']}: its ledger entries do not come to its {entry['micros']} micros."
        for entry in calls
        if sum(row["micros"] for row in entry["ledger"]) != entry["micros"]
    ]
    return wrong
