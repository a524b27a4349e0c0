"""Commands on whether a checkpoint can be returned to: verify, list its verifications, export."""

from __future__ import annotations

import time
from argparse import Namespace

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.grammar import Commands, Session

POLL_SECONDS = 1.0
DEPTHS = ("metadata", "content", "boot")


def add(checkpoint: Commands) -> None:
    """The verbs of the noun `checkpoint`."""
    verify = checkpoint.verb(
        "verify",
        _verify,
        "Have it proven that a checkpoint can be returned to.",
        examples=["checkpoint verify m12.c3 --depth boot --wait"],
    )
    verify.add_argument("reference", metavar="CHECKPOINT")
    verify.add_argument(
        "--depth", choices=DEPTHS, default="content", help="how deep; content hashes every file again"
    )
    verify.add_argument("--backup", action="store_true", help="prove its backup, not its snapshot")
    verify.add_argument("--wait", action="store_true", help="stay until there is a verdict")
    verifications = checkpoint.verb(
        "verifications",
        _list,
        "The proofs of a checkpoint, newest first.",
        examples=["checkpoint verifications m12.c3"],
    )
    verifications.add_argument("reference", metavar="CHECKPOINT")
    verifications.add_argument(
        "--limit", metavar="N", type=formats.count, default=50, help="at most so many (50)"
    )
    export = checkpoint.verb(
        "export",
        _export,
        "Write a checkpoint's state to the backup storage.",
        examples=["checkpoint export m12.c3"],
    )
    export.add_argument("reference", metavar="CHECKPOINT")


def _verify(session: Session, args: Namespace) -> int:
    asked = {"depth": args.depth, "of": "backup" if args.backup else "snapshot"}
    one = session.client.do("checkpoint.verify", asked, checkpoint=args.reference)
    while args.wait and one["verdict"] == "requested":
        time.sleep(POLL_SECONDS)
        one = _again(session, args.reference, one)
    session.out.show(one, lambda found: session.out.line(_told(found)))
    if one["verdict"] == "requested" and not session.out.as_json:
        session.out.notice(f"What came of it: {session.prog} checkpoint verifications {args.reference}")
    return 1 if one["verdict"] in {"failed", "abandoned"} else 0


def _again(session: Session, reference: str, one: Json) -> Json:
    found = session.client.get_all("checkpoints", reference, "verifications", limit=50)
    return next((other for other in found["results"] if other["id"] == one["id"]), one)


def _told(one: Json) -> str:
    verdict = "is being verified" if one["verdict"] == "requested" else one["verdict"]
    return f"{one['checkpoint']}  {one['depth']} of its {one['of']}: {verdict}. {one['sentence']}".rstrip()


def _list(session: Session, args: Namespace) -> None:
    found = session.client.get_all("checkpoints", args.reference, "verifications", limit=args.limit)

    def render(answer: Json) -> None:
        session.out.table(
            ["ASKED", "DEPTH", "OF", "VERDICT", "SECONDS", "BY", "WHAT"], map(_row, answer["results"])
        )
        if not answer["results"]:
            session.out.notice("Nobody has had it verified yet.")
        if answer["more"]:
            session.out.notice(f"There are more: --limit {args.limit * 4}")

    session.out.show(found, render)


def _row(one: Json) -> tuple[object, ...]:
    return (
        formats.age(one["asked_at"]),
        one["depth"],
        one["of"],
        one["verdict"],
        f"{one['seconds']:.0f}",
        one["asked_by"] or "schedule",
        one["sentence"],
    )


def _export(session: Session, args: Namespace) -> None:
    operation = session.client.do("checkpoint.export", checkpoint=args.reference)
    session.out.show(operation, lambda one: session.out.line(f"{args.reference} is being exported."))
    if not session.out.as_json:
        session.out.notice(f"Whether it is durable: {session.prog} checkpoint show {args.reference}")
