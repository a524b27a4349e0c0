"""Past calls charged by today's prices: what that comes to, and having it done. For staff."""

from __future__ import annotations

from argparse import Namespace

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.grammar import Commands, Session
from autovibe_cli.questions import confirm


def add(price: Commands) -> None:
    """The verbs of the noun `price`."""
    price.verb("reratings", _list, "Past spans that were priced anew.", examples=["price reratings"])
    rerate = price.verb(
        "rerate",
        _rerate,
        "Charge the calls of a past span by today's prices; the differences are entered.",
        examples=[
            "price rerate 2031-05-01T00:00:00Z 2031-05-08T00:00:00Z --dry-run",
            "price rerate 2031-05-01T00:00:00Z 2031-05-08T00:00:00Z --project demo --yes",
        ],
    )
    rerate.add_argument("since", metavar="SINCE")
    rerate.add_argument("until", metavar="UNTIL")
    rerate.add_argument("--project", help="only of this one")
    rerate.add_argument("--dry-run", action="store_true", help="only say what it would come to")
    rerate.add_argument("--yes", action="store_true", help="do not ask")


def _list(session: Session, args: Namespace) -> None:
    def render(answer: Json) -> None:
        rows = [
            (
                formats.minute(one["since"]),
                formats.minute(one["until"]),
                one["project"] or "all",
                one["entries"],
                one["micros"] / formats.MICROS,
                one["actor"],
                one["price_version"],
            )
            for one in answer["results"]
        ]
        session.out.table(["SINCE", "UNTIL", "PROJECT", "CALLS", "BY HOW MUCH", "BY", "PRICES"], rows)
        if not rows:
            session.out.notice("None.")

    session.out.show(session.client.get("ledger", "reratings"), render)


def _rerate(session: Session, args: Namespace) -> None:
    if not args.dry_run and not args.yes:
        confirm(f"Charge the calls from {args.since} to {args.until} anew?")
    body = {"since": args.since, "until": args.until, "dry_run": args.dry_run}
    if args.project:
        body["project"] = args.project
    found = session.client.post("ledger", "reratings", body=body)
    verb = "would change" if args.dry_run else "changed"
    session.out.show(
        found,
        lambda one: session.out.line(
            f"{one['entries']} calls {verb}, by {one['micros'] / formats.MICROS:g} in all, by {one['price_version']}."
        ),
    )
