"""Commands on checkpoints: list, take, show, their files, and how two differ. Branching is in `spawning`."""

from __future__ import annotations

import stat
import sys
from argparse import Namespace

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.errors import Usage
from autovibe_cli.grammar import Commands, Session
from autovibe_cli.output import Output


def add(commands: Commands) -> None:
    _add_list(commands)
    checkpoint = commands.noun("checkpoint", "One checkpoint: take or show it.")
    take = checkpoint.verb(
        "take",
        _take,
        "Take a checkpoint of a machine now.",
        examples=['checkpoint take m12 --why "Before lunch"'],
    )
    take.add_argument("reference", metavar="MACHINE")
    take.add_argument("--why", default="", help="a note for those who look at it later")
    show = checkpoint.verb(
        "show", _show, "Everything about a checkpoint.", examples=["checkpoint show m12.c3"]
    )
    show.add_argument("reference", metavar="REF")
    files = commands.verb(
        "files", _files, "The files of a checkpoint's workspace.", examples=["files m12.c3"]
    )
    files.add_argument("reference", metavar="CHECKPOINT")
    cat = commands.verb(
        "cat", _cat, "One file of a checkpoint, byte for byte.", examples=["cat m12.c3 src/main.py > main.py"]
    )
    cat.add_argument("reference", metavar="CHECKPOINT")
    cat.add_argument("path", metavar="PATH", help="relative to the workspace")
    diff = commands.verb(
        "diff",
        _diff,
        "What changed from one checkpoint to another.",
        examples=["diff m12.c1 m12.c4", "diff --stat demo.c0 m12.c4"],
    )
    diff.add_argument("before", metavar="A")
    diff.add_argument("after", metavar="B")
    diff.add_argument("--stat", action="store_true", help="only which files, and how much")


def _add_list(commands: Commands) -> None:
    checkpoints = commands.verb(
        "checkpoints",
        _list,
        "Checkpoints of a machine or project, newest first.",
        examples=["checkpoints m12", "checkpoints --project demo"],
    )
    checkpoints.add_argument("reference", metavar="REF", nargs="?", help="only those of that machine")
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
        one["state"],
        one["parent"] or "-",
        files,
        one["changed"],
        formats.age(one["created_at"]),
        one["error"] or one["why"],
    )


def _take(session: Session, args: Namespace) -> None:
    taken = session.client.post("machines", args.reference, "checkpoint", body={"why": args.why})
    session.out.show(taken, lambda one: session.out.line(f"{one['handle']} is being taken."))
    if not session.out.as_json:
        session.out.notice(f"How far it is: {session.prog} checkpoint show {taken['handle']}")


def _show(session: Session, args: Namespace) -> None:
    def render(one: Json) -> None:
        session.out.line(f"{one['handle']}  {one['why']}", "bold")
        session.out.fields(
            [
                ("state", one["state"]),
                ("error", one["error"]),
                ("project", one["project"]),
                ("kind", one["kind"]),
                ("parent", one["parent"]),
                ("files", one["files"]),
                ("size", None if one["bytes"] is None else formats.size(one["bytes"])),
                ("changed files", one["changed"]),
                (
                    "lives in",
                    f"VM {one['vmid']}" + (f", snapshot {one['snapshot']}" if one["snapshot"] else ""),
                ),
                ("asked for", formats.when(one["created_at"])),
                ("captured", formats.when(one["captured_at"])),
            ]
        )

    session.out.show(session.client.get("checkpoints", args.reference), render)


def _files(session: Session, args: Namespace) -> None:
    def render(answer: Json) -> None:
        if not answer["files"]:
            session.out.notice(f"The workspace of {answer['handle']} is empty.")
        for entry in answer["files"]:
            session.out.line(_entry(entry))

    session.out.show(session.client.get("checkpoints", args.reference, "files"), render)


def _entry(entry: Json) -> str:
    kind = {"dir": stat.S_IFDIR, "link": stat.S_IFLNK}.get(entry["kind"], stat.S_IFREG)
    length = formats.size(entry["size"]) if entry["kind"] == "file" else "-"
    name = entry["path"] + {"dir": "/", "link": f" → {entry.get('target')}"}.get(entry["kind"], "")
    return f"{stat.filemode(kind | entry.get('mode', 0))}  {length:>10}  {name}"


def _cat(session: Session, args: Namespace) -> None:
    content = session.client.get_bytes("checkpoints", args.reference, "file", path=args.path)
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def _diff(session: Session, args: Namespace) -> None:
    answer = session.client.get("checkpoints", args.before, "diff", to=args.after)

    def render(found: Json) -> None:
        # The workspace first; what the agent keeps elsewhere has absolute paths.
        changes = sorted(found["changes"], key=lambda change: str(change["path"]).startswith("/"))
        if not changes:
            session.out.notice(f"{found['from']} and {found['to']} hold the same files.")
        elif args.stat:
            _print_stat(session.out, changes)
        else:
            for change in changes:
                _print_change(session.out, change)

    session.out.show(answer, render)


def _print_change(out: Output, change: Json) -> None:
    told = f"{change['path']}: {change['change']}, {_sizes(change)}"
    if change["path"].startswith("/"):  # the agent's own notes, such as its conversation
        out.line(f"{told}; not of the workspace, --json shows it", "dim")
    elif change["diff"] is None:
        out.line(f"{told}; binary, large, or not kept", "bold")
    elif change["diff"]:
        out.diff(change["diff"])
    else:
        out.line(f"{told}; no line differs", "bold")


def _print_stat(out: Output, changes: list[Json]) -> None:
    out.table(
        ["CHANGE", "LINES", "SIZE", "FILE"],
        [(one["change"], _lines(one), _sizes(one), one["path"]) for one in changes],
    )
    plural = "" if len(changes) == 1 else "s"
    out.line(f"{len(changes)} file{plural} changed")


def _lines(change: Json) -> str:
    if change["diff"] is None:
        return "-"
    body = change["diff"].split("\n")[2:]  # below the two lines that name the file
    return f"+{sum(line[:1] == '+' for line in body)} −{sum(line[:1] == '-' for line in body)}"


def _sizes(change: Json) -> str:
    return f"{formats.size(change['size_before'])} → {formats.size(change['size_after'])}"
