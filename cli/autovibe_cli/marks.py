"""Commands on what people say of a checkpoint: pin, unpin, name and note."""

from __future__ import annotations

import sys
from argparse import Namespace

from autovibe_cli.grammar import Commands, Session


def add(checkpoint: Commands) -> None:
    """The verbs of the noun `checkpoint`."""
    for verb, summary, pinned in (
        ("pin", "Keep a checkpoint whatever the project's retention says.", True),
        ("unpin", "Leave a checkpoint to the project's retention again.", False),
    ):
        parser = checkpoint.verb(verb, _pin, summary, examples=[f"checkpoint {verb} m12.c3"])
        parser.set_defaults(pinned=pinned)
        parser.add_argument("reference", metavar="CHECKPOINT")
    name = checkpoint.verb(
        "name",
        _name,
        "Give a checkpoint a name, which makes it a milestone; without one, take it away.",
        examples=['checkpoint name m12.c3 "Before the rewrite"', "checkpoint name m12.c3"],
    )
    name.add_argument("reference", metavar="CHECKPOINT")
    name.add_argument("name", metavar="NAME", nargs="?", default="")
    note = checkpoint.verb(
        "note",
        _note,
        "Write a note on a checkpoint, in place of the one before; without one, take it away.",
        examples=['checkpoint note m12.c3 "All tests pass."', "checkpoint note m12.c3 - < notes.txt"],
    )
    note.add_argument("reference", metavar="CHECKPOINT")
    note.add_argument("note", metavar="NOTE", nargs="?", default="", help="- reads it from standard input")


def _pin(session: Session, args: Namespace) -> None:
    kept = "is kept" if args.pinned else "is left to the retention"
    _mark(session, args.reference, kept, pinned=args.pinned)


def _name(session: Session, args: Namespace) -> None:
    said = f"is called “{args.name}”" if args.name else "has no name any more"
    _mark(session, args.reference, said, name=args.name)


def _note(session: Session, args: Namespace) -> None:
    note = sys.stdin.read() if args.note == "-" else args.note
    _mark(session, args.reference, "has that note" if note else "has no note any more", note=note)


def _mark(session: Session, reference: str, said: str, **marks: object) -> None:
    marked = session.client.patch("checkpoints", reference, body=marks)
    session.out.show(marked, lambda one: session.out.line(f"{one['handle']} {said}."))
