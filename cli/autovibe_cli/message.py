"""`message` and `messages`: say something to a machine's agent, and see what was said."""

from __future__ import annotations

from argparse import Namespace

from autovibe_cli import formats, prompts
from autovibe_cli.client import Json
from autovibe_cli.grammar import Commands, Session
from autovibe_cli.watch import watch

LISTED = 50


def add(commands: Commands) -> None:
    parser = commands.verb(
        "message",
        _message,
        "Say something to a machine's agent: its next turn, once it has ended this one.",
        examples=['message m12 "Now make it buzz at 7" --watch', 'message m12 --now "Stop, use Python."'],
    )
    parser.add_argument("reference", metavar="MACHINE")
    parser.add_argument("text", metavar="TEXT", help="“-” reads it from standard input")
    parser.add_argument(
        "--now",
        action="store_true",
        help="interrupt the agent, after a checkpoint, instead of waiting for its turn",
    )
    parser.add_argument(
        "--watch", action="store_true", help="stay until it ended or paused, and show its log"
    )
    said = commands.verb(
        "messages",
        _list,
        "What was said to a machine's agent, and whether it heard it.",
        examples=["messages m12"],
    )
    said.add_argument("reference", metavar="MACHINE")


def _message(session: Session, args: Namespace) -> int:
    body = {"text": prompts.read(args.text), "now": args.now}
    said = session.client.post("machines", args.reference, "message", body=body)
    if args.watch:
        return watch(session, args.reference, tail=0)
    session.out.show(said, lambda answer: session.out.line(f"Said. {answer['told']}"))
    return 0


def _list(session: Session, args: Namespace) -> None:
    found = session.client.get_all("machines", args.reference, "message", limit=LISTED)

    def render(answer: Json) -> None:
        rows = [
            (formats.when(one["created_at"]), one["author"], one["state"], one["text"])
            for one in reversed(answer["results"])
        ]
        session.out.table(["SAID", "BY", "STATE", "TEXT"], rows)
        if not rows:
            session.out.notice("Nothing was said to its agent since the prompt.")

    session.out.show(found, render)
