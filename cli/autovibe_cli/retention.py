"""Commands on what is kept of a project's checkpoints: which stay and go, having it done, and what they take up."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError, Namespace

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.errors import Usage
from autovibe_cli.grammar import Commands, Session

RULES = ("keep_last", "hourly", "daily", "weekly", "monthly", "milestones")


def add(project: Commands) -> None:
    """The verbs of the noun `project` that are about keeping."""
    retention = project.verb(
        "retention",
        _retention,
        "Which checkpoints of a project stay, which go, and what that frees.",
        examples=[
            "project retention demo",
            "project retention demo --keep-last 10 --daily 7",
            "project retention demo --keep-last 10 --daily 7 --milestones 90 --set",
            "project retention demo --prune",
        ],
    )
    retention.add_argument("project", metavar="PROJECT")
    for name in RULES[:-1]:
        what = "the last N" if name == "keep_last" else f"the newest of N {_PERIODS[name]}"
        retention.add_argument(
            f"--{name.replace('_', '-')}",
            metavar="N",
            type=formats.count,
            help=f"keep {what} of each machine",
        )
    retention.add_argument(
        "--milestones",
        metavar="DAYS",
        type=_milestones,
        help="keep final and named ones so long: yes, no, or days",
    )
    how = retention.add_mutually_exclusive_group()
    how.add_argument(
        "--preview", action="store_true", help="only say what would go, also by these rules (usual)"
    )
    how.add_argument("--set", action="store_true", dest="sets", help="make these the project's rules")
    how.add_argument("--prune", action="store_true", help="delete what goes by the project's rules")
    retention.add_argument("--all", action="store_true", help="list those that stay, too")
    retention.add_argument("-y", "--yes", action="store_true", help="do not ask")
    storage = project.verb(
        "storage",
        _storage,
        "What a project's checkpoints take up, together and by machine.",
        examples=["project storage demo"],
    )
    storage.add_argument("project", metavar="PROJECT")


_PERIODS = {"hourly": "hours", "daily": "days", "weekly": "weeks", "monthly": "months"}


def _milestones(text: str) -> bool | int:
    if text in ("yes", "no"):
        return text == "yes"
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is neither yes, no, nor a number of days")
    return int(text)


def _retention(session: Session, args: Namespace) -> None:
    address = ("projects", args.project, "retention")
    rules = {name: getattr(args, name) for name in RULES if getattr(args, name) is not None}
    if args.prune:
        if rules:
            raise Usage("What is deleted goes by the project's own rules. Make these its rules first: --set")
        _ask(session, args)
        found = session.client.post(*address, body={})
    elif args.sets:
        found = session.client.put(*address, body=rules)
    else:
        found = session.client.get(*address, **rules)
    session.out.show(found, lambda answer: _render(session, args, answer))


def _ask(session: Session, args: Namespace) -> None:
    if args.yes:
        return
    if not sys.stdin.isatty():
        raise Usage("Say --yes where nobody can be asked.")
    found = session.client.get("projects", args.project, "retention")
    if input(
        f"Delete {found['goes']} checkpoints of {args.project}, {_frees(found)}? [y/N] "
    ).lower() not in ("y", "yes"):
        raise Usage("Nothing was deleted.")


def _render(session: Session, args: Namespace, found: Json) -> None:
    shown = [one for one in found["checkpoints"] if args.all or not one["stays"]]
    rows = [
        (one["handle"], "stays" if one["stays"] else "goes", formats.size(one["stored_bytes"]), one["reason"])
        for one in shown
    ]
    session.out.table(["CHECKPOINT", "", "STORED", "WHY"], rows)
    verb = "go from now on" if args.prune else "would go"
    session.out.line(f"{found['keeps']} stay, {found['goes']} {verb}: {_frees(found)}.", "bold")
    rules = " ".join(f"{name}={_said(value)}" for name, value in found["rules"].items())
    session.out.notice(f"Rules: {rules}. Pinned ones, and those that something needs, always stay.")
    if found["pruning"]:
        session.out.notice(f"{found['pruning']} are being deleted already.")
    if found["more"]:
        session.out.notice(f"{found['more']} are not listed.")


def _said(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _frees(found: Json) -> str:
    backups = (
        f", {formats.size(found['frees_backup_bytes'])} of backups" if found["frees_backup_bytes"] else ""
    )
    return f"{found['frees_snapshots']} snapshots, {formats.size(found['frees_bytes'])} of contents{backups}"


def _storage(session: Session, args: Namespace) -> None:
    def render(found: Json) -> None:
        session.out.table(
            ["", "CHECKPOINTS", "FILES", "STORED", "RATIO", "BACKUPS", "DISKS"],
            [_row(found["project"], found), *(_row(one["machine"], one) for one in found["machines"])],
        )

    session.out.show(session.client.get("projects", args.project, "storage"), render)


def _row(name: str, one: Json) -> tuple[object, ...]:
    ratio = "-" if one["dedup_ratio"] is None else f"{one['dedup_ratio']} : 1"
    stored = formats.size(one["stored_bytes"] + one["lists_bytes"])
    files, backups, disks = (formats.size(one[f"{what}_bytes"]) for what in ("logical", "backup", "disk"))
    return name, one["checkpoints"], files, stored, ratio, backups, disks
