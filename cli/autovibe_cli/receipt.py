"""`receipt`: a machine's signed record, and whether one is as it was signed. The latter asks no server."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from pathlib import Path

from autovibe_cli import receipt_check
from autovibe_cli.errors import Failure, Usage
from autovibe_cli.grammar import Commands, Session

VERIFY = "verify"
KEY = re.compile(r"[0-9a-f]{64}")


def add(commands: Commands) -> None:
    parser = commands.verb(
        "receipt",
        _receipt,
        "Print a machine's receipt: what it was told, asked, kept, changed and cost, signed. Or verify one.",
        examples=["receipt m12 > m12.receipt.json", "receipt verify m12.receipt.json --key keys.txt"],
    )
    parser.add_argument("reference", metavar="MACHINE", help="or “verify”, with a FILE")
    parser.add_argument("file", metavar="FILE", nargs="?", help="a receipt to verify, without the server")
    parser.add_argument(
        "--key",
        help="the public key that it has to be signed with, as `manage.py audit key` prints it, or a file of such",
    )
    parser.add_argument("--so-far", action="store_true", help="of a machine that has not ended yet")
    parser.add_argument(
        "--texts", action="store_true", help="with the prompt and messages, not only their hashes"
    )


def _receipt(session: Session, args: Namespace) -> int:
    if args.reference == VERIFY:
        return _verify(session, args)
    if args.file or args.key:
        raise Usage(f"To verify a receipt: {session.prog} receipt verify FILE --key KEY")
    wanted = {"so_far": 1 if args.so_far else None, "texts": 1 if args.texts else None}
    receipt = session.client.get("machines", args.reference, "receipt", **wanted)
    session.out.show(
        receipt, lambda answer: session.out.line(json.dumps(answer, indent=1, ensure_ascii=False))
    )
    return 0


def _verify(session: Session, args: Namespace) -> int:
    if not args.file or not args.key:
        raise Usage(f"Which file, and whose key: {session.prog} receipt verify FILE --key KEY")
    content = _read(args.file)
    wrong = receipt_check.verify(content, _keys(args.key))
    for sentence in wrong:
        session.out.line(sentence, "red")
    if wrong:
        return 1
    told = json.loads(content)
    first, head = told["entries"][0], told["head"]
    kind = "complete receipt" if first["complete"] else "receipt, so far,"
    session.out.line(f"This is the {kind} of {first['machine']} in {first['project']}.", "green")
    session.out.line(f"{head['count']} entries, signed {head['signed_at']} with {head['key']}.")
    return 0


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise Failure(f"{name} cannot be read: {error.strerror}.") from None


def _keys(given: str) -> list[str]:
    """A key, or those in a file."""
    if KEY.fullmatch(given):
        return [given]
    found = KEY.findall(_read(given).decode(errors="replace"))
    if not found:
        raise Usage(f"{given} holds no public key: 64 hexadecimal digits.")
    return found
