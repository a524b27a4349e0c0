"""Commands on transfers: part of one project's limit for another, once owners of both have agreed."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace

from autovibe_cli import formats
from autovibe_cli.budgets import PERIODS
from autovibe_cli.client import Json
from autovibe_cli.errors import Usage
from autovibe_cli.grammar import Commands, Session

STATES = ("pending", "made", "declined", "withdrawn")
_DONE = {"made": "is made", "pending": "waits", "declined": "is declined", "withdrawn": "is withdrawn"}


def add(commands: Commands) -> None:
    transfer = commands.noun("transfer", "Part of a project's limit for another: propose it, agree to it.")
    propose = transfer.verb(
        "propose",
        _propose,
        "Offer part of your project's limit to another, or ask for part of another's.",
        examples=[
            "transfer propose demo other money 5",
            "transfer propose other demo calls 100 --per day --note 'for the release'",
        ],
    )
    propose.add_argument("giver", metavar="FROM", help="whose limit becomes less")
    propose.add_argument("taker", metavar="TO", help="whose limit becomes more")
    propose.add_argument("resource", choices=[*formats.RESOURCES, *formats.SHORT], metavar="RESOURCE")
    propose.add_argument("value", metavar="VALUE", help="as for “budget set”")
    periods = [period for period in PERIODS if period != "minute"]
    propose.add_argument("--per", choices=periods, default="total", help="of which limits (total)")
    propose.add_argument("--note", default="", help="why")
    listing = transfer.verb(
        "list", _list, "Transfers from and to your projects, newest first.", examples=["transfer list demo"]
    )
    listing.add_argument("project", nargs="?", metavar="PROJECT")
    listing.add_argument("--state", choices=STATES)
    listing.add_argument("--limit", type=formats.count, default=50, help="at most so many (50)")
    for verb, summary in (
        ("accept", "Agree to it, for the project that is asked."),
        ("decline", "Refuse it, for the project that is asked."),
        ("withdraw", "Take it back, for the project that proposed it."),
    ):
        decide = transfer.verb(verb, _decide, summary, examples=[f"transfer {verb} 7"])
        decide.set_defaults(verb=verb)
        decide.add_argument("id", metavar="ID", type=formats.count)


def amount_of(args: Namespace) -> Json:
    """Resource and amount, as the API wants them. Raises `Usage`."""
    resource = formats.SHORT.get(args.resource, args.resource)
    try:
        return {"resource": resource, "amount": formats.limit(args.value, resource)}
    except ArgumentTypeError as error:
        raise Usage(f"{error}.") from None


def _propose(session: Session, args: Namespace) -> None:
    body = {
        "giver": args.giver,
        "taker": args.taker,
        **amount_of(args),
        "period": args.per,
        "note": args.note,
    }
    _say(session, session.client.post("transfers", body=body))


def _decide(session: Session, args: Namespace) -> None:
    _say(session, session.client.post("transfers", str(args.id), args.verb))


def _say(session: Session, made: Json) -> None:
    waits = f" for an owner of {made['waits_for']}" if made["waits_for"] else ""
    session.out.show(
        made, lambda one: session.out.line(f"Transfer {one['id']} {_DONE[one['state']]}{waits}.")
    )


def _list(session: Session, args: Namespace) -> None:
    found = session.client.get_all("transfers", limit=args.limit, project=args.project, state=args.state)

    def render(answer: Json) -> None:
        rows = [
            (
                one["id"],
                one["state"],
                one["giver"],
                one["taker"],
                one["resource"],
                formats.quantity(one["amount"], one["resource"], one["currency"]),
                "" if one["period"] == "total" else f"per {one['period']}",
                one["waits_for"] or "-",
                formats.age(one["created_at"]),
                one["note"],
            )
            for one in answer["results"]
        ]
        headings = ["ID", "STATE", "FROM", "TO", "RESOURCE", "AMOUNT", "PERIOD", "WAITS FOR", "AGE", "NOTE"]
        session.out.table(headings, rows)
        if not rows:
            session.out.notice("No transfer.")

    session.out.show(found, render)
