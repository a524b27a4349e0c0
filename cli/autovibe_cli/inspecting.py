"""More on one machine or checkpoint: as it was, what it takes up, what it used, what going back does not undo."""

from __future__ import annotations

from argparse import Namespace

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.grammar import Commands, Session


def add_machine(machine: Commands) -> None:
    """The verbs of the noun `machine`."""
    at = machine.verb(
        "at",
        _at,
        "A machine as of one of its checkpoints: how far its log, its books and its files were.",
        examples=["machine at m12 m12.c3", "machine at m12"],
    )
    at.add_argument("reference", metavar="MACHINE")
    at.add_argument("checkpoint", metavar="CHECKPOINT", nargs="?", help="one of its own; without it: now")
    storage = machine.verb(
        "storage", _storage, "What a machine's checkpoints take up.", examples=["machine storage m12"]
    )
    storage.add_argument("reference", metavar="MACHINE")
    used = machine.verb(
        "resources",
        _resources,
        "What a machine used, by model, and its own limits.",
        examples=["machine resources m12", "machine resources m12 --days 7"],
    )
    used.add_argument("reference", metavar="MACHINE")
    used.add_argument("--days", type=formats.count, default=30, help="so far back (30)")


def add_checkpoint(checkpoint: Commands) -> None:
    """The verbs of the noun `checkpoint`."""
    manifest = checkpoint.verb(
        "manifest",
        _manifest,
        "What a checkpoint's state amounts to, in figures that two of them can be compared by.",
        examples=["checkpoint manifest m12.c3"],
    )
    manifest.add_argument("reference", metavar="CHECKPOINT")
    effects = checkpoint.verb(
        "effects",
        _effects,
        "What agents did since that reached outside their guests, and going back does not undo.",
        examples=["checkpoint effects m12.c3", "checkpoint effects m12.c3 --until m12.c9"],
    )
    effects.add_argument("reference", metavar="CHECKPOINT")
    effects.add_argument("--until", metavar="CHECKPOINT", help="only up to that one of the same machine")


def _at(session: Session, args: Namespace) -> None:
    def render(one: Json) -> None:
        session.out.line(one["checkpoint"] or f"{args.reference} now", "bold")
        session.out.fields(
            [
                ("at", formats.when(one["at"])),
                ("standing", one["standing"]),
                ("before it", one["previous"]),
                ("after it", one["next"]),
                ("log up to line", one["log_until"]),
                ("model calls", one["calls"]),
                ("spent", formats.money(one["spent_micros"], one["currency"])),
                ("files", one["files"]),
                ("size", None if one["bytes"] is None else formats.size(one["bytes"])),
                ("changed files", one["changed"]),
                ("conversation", one["session"]),
            ]
        )

    session.out.show(session.client.get("machines", args.reference, "at", checkpoint=args.checkpoint), render)


def _storage(session: Session, args: Namespace) -> None:
    def render(one: Json) -> None:
        ratio = one["dedup_ratio"]
        session.out.fields(
            [
                ("checkpoints", one["checkpoints"]),
                ("files", formats.size(one["logical_bytes"])),
                ("stored", formats.size(one["stored_bytes"] + one["lists_bytes"])),
                ("ratio", None if ratio is None else f"{ratio} : 1"),
                ("backups", formats.size(one["backup_bytes"])),
                ("disks", formats.size(one["disk_bytes"])),
            ]
        )

    session.out.show(session.client.get("machines", args.reference, "storage"), render)


def _resources(session: Session, args: Namespace) -> None:
    def render(one: Json) -> None:
        rows = [(part["name"] or "-", *_used(part["used"], one["currency"])) for part in one["models"]]
        session.out.table(
            ["MODEL", "MONEY", "CALLS", "WALL", "CPU"], [*rows, ("SUM", *_used(one["used"], one["currency"]))]
        )
        for limit in one["budgets"]:
            left, whole = (
                formats.quantity(limit[name], limit["resource"], one["currency"])
                for name in ("left", "limit")
            )
            session.out.line(f"{left} of {whole} left ({limit['resource']})")

    session.out.show(session.client.get("machines", args.reference, "resources", days=args.days), render)


def _used(used: Json, currency: str) -> tuple[object, ...]:
    wall, cpu = (formats.duration(used[f"{name}_seconds"]) for name in ("wall", "cpu"))
    return formats.money(used["micros"], currency), used["calls"], wall, cpu


def _manifest(session: Session, args: Namespace) -> None:
    found = session.client.get("checkpoints", args.reference, "manifest")
    session.out.show(
        found, lambda one: session.out.fields((name.replace("_", " "), value) for name, value in one.items())
    )


def _effects(session: Session, args: Namespace) -> None:
    def render(answer: Json) -> None:
        rows = [
            (formats.when(one["at"]), one["call_number"] or "-", one["kind"], one["summary"])
            for one in answer["effects"]
        ]
        session.out.table(["WHEN", "CALL", "KIND", "WHAT"], rows)
        if not rows:
            session.out.notice("Nothing that is known of.")
        if answer["more"]:
            session.out.notice(f"{answer['more']} are not listed.")

    session.out.show(session.client.get("checkpoints", args.reference, "effects", until=args.until), render)
