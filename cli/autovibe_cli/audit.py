"""The audit trail as a file that proves itself."""

from __future__ import annotations

import sys
from argparse import Namespace

from autovibe_cli.events import add_filters, asked
from autovibe_cli.grammar import Commands, Session


def add(commands: Commands) -> None:
    audit = commands.noun("audit", "The audit trail: export it with the digests that prove it.")
    export = audit.verb(
        "export",
        _export,
        "Every event whose audit you may read, as JSON lines on standard output.",
        examples=["audit export --project demo > demo.jsonl", "audit export --since 2031-05-06 > may.jsonl"],
    )
    add_filters(export)


def _export(session: Session, args: Namespace) -> None:
    for piece in session.client.download("events", "export", accept="application/jsonl", **asked(args)):
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
