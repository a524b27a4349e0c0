"""Commands on checkpoints: list, take and show them. Branching is in `spawning`, what is in them in `files`."""

from __future__ import annotations

from argparse import Namespace

from autovibe_cli import formats, inspecting, marks, policies, proofs
from autovibe_cli.client import Json
from autovibe_cli.errors import Usage
from autovibe_cli.grammar import Commands, Session
from autovibe_cli.questions import confirm


def add(commands: Commands) -> None:
    _add_list(commands)
    checkpoint = commands.noun("checkpoint", "One checkpoint: take, show, prove or mark it.")
    take = checkpoint.verb(
        "take",
        _take,
        "Take a checkpoint of a machine now.",
        examples=['checkpoint take m12 --why "Before lunch"'],
    )
    take.add_argument("reference", metavar="MACHINE")
    take.add_argument("--why", default="", help="a note for those who look at it later")
    take.add_argument("--ram", action="store_true", help="with the guest's memory; tells its price and asks")
    take.add_argument("--yes", action="store_true", help="do not ask (only --ram does)")
    show = checkpoint.verb(
        "show", _show, "Everything about a checkpoint.", examples=["checkpoint show m12.c3"]
    )
    show.add_argument("reference", metavar="CHECKPOINT")
    proofs.add(checkpoint)
    marks.add(checkpoint)
    inspecting.add_checkpoint(checkpoint)


def _add_list(commands: Commands) -> None:
    checkpoints = commands.verb(
        "checkpoints",
        _list,
        "Checkpoints of a machine or project, newest first.",
        examples=["checkpoints m12", "checkpoints --project demo"],
    )
    checkpoints.add_argument("reference", metavar="MACHINE", nargs="?", help="only those of that machine")
    checkpoints.add_argument("--project", help="only those of that project")
    checkpoints.add_argument(
        "--limit", metavar="N", type=formats.count, default=50, help="at most so many (50)"
    )


def _list(session: Session, args: Namespace) -> None:
    if not args.reference and not args.project:
        raise Usage(
            f"Say whose: {session.prog} checkpoints m12, or {session.prog} checkpoints --project demo"
        )
    # Asking for the machine first tells one without checkpoints from one that is not there.
    machine = session.client.get("machines", args.reference)["handle"] if args.reference else None
    found = session.client.get_all("checkpoints", limit=args.limit, machine=machine, project=args.project)

    def render(answer: Json) -> None:
        session.out.table(
            ["CHECKPOINT", "KIND", "STATE", "PARENT", "FILES", "CHANGED", "AGE", "WHY"],
            map(_row, answer["results"]),
        )
        if not answer["results"]:
            session.out.notice("No checkpoints yet.")
        if answer["more"]:
            session.out.notice(f"There are more: --limit {args.limit * 4}")

    session.out.show(found, render)


def _row(one: Json) -> tuple[object, ...]:
    files = "-" if one["files"] is None else one["files"]
    return (
        one["handle"],
        one["kind"],
        one["standing"],
        one["parent"] or "-",
        files,
        one["changed"],
        formats.age(one["created_at"]),
        one["error"] or one["why"],
    )


def _take(session: Session, args: Namespace) -> None:
    if args.ram and not args.yes:
        price = policies.price_of_memory(session, args.reference)
        confirm(f"Take the memory of {args.reference} as well? Up to {price}")
    body = {"why": args.why, **({"ram": True} if args.ram else {})}
    taken = session.client.do("checkpoint", body, machine=args.reference)
    session.out.show(taken, lambda one: session.out.line(f"{one['handle']} is being taken."))
    if not session.out.as_json:
        session.out.notice(f"How far it is: {session.prog} checkpoint show {taken['handle']}")


def _show(session: Session, args: Namespace) -> None:
    def render(one: Json) -> None:
        session.out.line(f"{one['handle']}  {one['why']}", "bold")
        session.out.fields(
            [
                ("state", one["standing"]),
                ("name", one["name"]),
                ("pinned", "yes" if one["pinned"] else None),
                ("note", one["note"]),
                ("error", one["error"]),
                ("project", one["project"]),
                ("kind", one["kind"]),
                ("parent", one["parent"]),
                ("shares the state of", one["shares"]),
                ("files", one["files"]),
                ("size", None if one["bytes"] is None else formats.size(one["bytes"])),
                ("changed files", one["changed"]),
                (
                    "lives in",
                    f"VM {one['vmid']}" + (f", snapshot {one['snapshot']}" if one["snapshot"] else ""),
                ),
                ("asked for", formats.when(one["created_at"])),
                ("captured", formats.when(one["captured_at"])),
                ("last proven", _proven(one)),
                ("model call", one["call_number"]),
                ("before it", one["previous"]),
                ("after it", one["next"]),
            ]
        )

    session.out.show(session.client.get("checkpoints", args.reference), render)


def _proven(one: Json) -> str:
    if not one["proven_at"]:
        return "never"
    return f"{formats.when(one['proven_at'])}, {one['proven_depth']}"
