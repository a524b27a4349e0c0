"""Commands on operations: what is under way, how far it is, waiting for it, and giving one up."""

from __future__ import annotations

import time
from argparse import Namespace

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.grammar import Commands, Session
from autovibe_cli.watch import POLL_SECONDS, progress

SUCCEEDED = "succeeded"


def add(commands: Commands) -> None:
    operation = commands.noun("operation", "What is under way: list, show, wait for it, or end it.")
    listing = operation.verb(
        "list",
        _list,
        "Operations in your projects, newest first.",
        examples=["operation list", "operation list --project demo --status running"],
    )
    listing.add_argument("--project")
    listing.add_argument("--status", metavar="STATUS")
    listing.add_argument("--limit", metavar="N", type=formats.count, default=50, help="at most so many (50)")
    for name, run, summary in (
        ("show", _show, "How far an operation is, and how it ended."),
        ("wait", _wait, "Stay until an operation has ended; exit code 1 where it failed."),
        ("cancel", _end, "Have one end that no worker has begun, or that waits for an operator."),
        ("give-up", _end, "Have one end that waits for an operator."),
    ):
        parser = operation.verb(
            name, run, summary, examples=[f"operation {name} 9a8f6d1e-2f0b-4f64-8d0e-1b1f6a7c0001"]
        )
        parser.set_defaults(verb=name)
        parser.add_argument("id", metavar="OPERATION")


def follow(session: Session, operation_id: str) -> int:
    """Tell the steps of an operation until it has ended; 0 when it has succeeded, else 1."""
    told = ""
    while True:
        one: Json = session.client.patiently(lambda: session.client.get("operations", operation_id))
        if (news := progress(one)) != told and not session.out.as_json:
            session.out.notice(news)
        told = news
        if one["finished_at"]:
            session.out.show(one, lambda ended: session.out.line(progress(ended)))
            return 0 if one["status"] == SUCCEEDED else 1
        time.sleep(POLL_SECONDS)


def _list(session: Session, args: Namespace) -> None:
    found = session.client.get_all("operations", limit=args.limit, project=args.project, status=args.status)

    def render(answer: Json) -> None:
        session.out.table(
            ["OPERATION", "VERB", "STATUS", "STEP", "AGE", "BY", "WHAT"],
            [
                (
                    one["id"],
                    one["verb"],
                    one["status"],
                    one["step"] or "-",
                    formats.age(one["created_at"]),
                    one["requested_by"] or "system",
                    one["error"],
                )
                for one in answer["results"]
            ],
        )
        if not answer["results"]:
            session.out.notice("No operations.")
        if answer["more"]:
            session.out.notice(f"There are more: --limit {args.limit * 4}")

    session.out.show(found, render)


def _show(session: Session, args: Namespace) -> None:
    def render(one: Json) -> None:
        session.out.line(progress({**one, "error": ""}), "bold")
        session.out.fields(
            [
                ("error", one["error"]),
                ("warnings", one["warnings"]),
                ("subject", one["subject"]),
                ("asked for by", one["requested_by"]),
                ("attempts", one["attempts"]),
                ("Proxmox task", one["upid"]),
                ("asked", formats.when(one["created_at"])),
                ("started", formats.when(one["started_at"])),
                ("finished", formats.when(one["finished_at"])),
            ]
        )

    session.out.show(session.client.get("operations", args.id), render)


def _wait(session: Session, args: Namespace) -> int:
    return follow(session, args.id)


def _end(session: Session, args: Namespace) -> None:
    operation = session.client.do(f"operation.{args.verb}", operation=args.id)
    session.out.show(operation, lambda one: session.out.line(f"{one['verb']} is ending."))
