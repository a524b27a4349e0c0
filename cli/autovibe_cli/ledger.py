"""Commands on a project's ledger: show its latest entries, or export it as CSV."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.grammar import Commands, Session

KINDS = ("usage", "assumed", "correction", "rerating", "limit", "transfer")


def add(commands: Commands) -> None:
    ledger = commands.noun("ledger", "What was used, entry by entry: show or export it.")
    show = ledger.verb(
        "show",
        _show,
        "The latest entries, newest first.",
        examples=["ledger show demo", "ledger show demo --machine m12 --kind usage --limit 200"],
    )
    _add_filter(show)
    show.add_argument("--limit", type=formats.count, default=50, help="at most so many entries (50)")
    export = ledger.verb(
        "export",
        _export,
        "Every entry as CSV, on standard output.",
        examples=["ledger export demo > demo.csv", "ledger export demo --day 2031-05-06 > day.csv"],
    )
    _add_filter(export)


def _add_filter(parser: ArgumentParser) -> None:
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--machine", metavar="MACHINE", help="only what this machine used")
    parser.add_argument("--model", help="only calls of this model")
    parser.add_argument("--day", metavar="DATE", help="only of this day, UTC: 2031-05-06")


def _filter(args: Namespace) -> dict[str, object]:
    return {name: getattr(args, name) for name in ("kind", "machine", "model", "day")}


def _show(session: Session, args: Namespace) -> None:
    found = session.client.get_all("projects", args.project, "ledger", limit=args.limit, **_filter(args))

    def render(answer: Json) -> None:
        currency = session.client.get("projects", args.project)["currency"]
        session.out.table(
            ["WHEN", "KIND", "MACHINE", "FOR", "NEW", "CACHED", "OUT", "COST", "PRICED BY"],
            [_row(entry, currency) for entry in answer["results"]],
        )
        if not answer["results"]:
            session.out.notice("No entry.")
        elif answer["more"]:
            session.out.notice(f"There are more: --limit, or {session.prog} ledger export {args.project}")

    session.out.show(found, render)


def _row(entry: Json, currency: str) -> tuple[object, ...]:
    changed = entry["kind"] in ("limit", "transfer")
    cost = ", ".join(formats.quantity(amount, entry["label"], currency) for amount in entry["amounts"])
    return (
        formats.minute(entry["created_at"]),
        entry["kind"],
        entry["machine"] or "-",
        f"{entry['label']} by {entry['actor']}" if changed else entry["label"],
        "-" if changed else f"{entry['input_tokens'] + entry['cache_write_tokens']:,}",
        "-" if changed else f"{entry['cached_tokens']:,}",
        "-" if changed else f"{entry['output_tokens']:,}",
        cost if changed else formats.money(entry["micros"], currency) if entry["price_version"] else "-",
        entry["price_version"] or "-",
    )


def _export(session: Session, args: Namespace) -> None:
    pieces = session.client.download("projects", args.project, "ledger", accept="text/csv", **_filter(args))
    for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
