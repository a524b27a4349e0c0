"""Commands on requests for more of a budget: ask, for those who work with machines; grant or deny, for owners."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace

from autovibe_cli import formats
from autovibe_cli.budgets import PERIODS
from autovibe_cli.client import Json
from autovibe_cli.errors import Usage
from autovibe_cli.grammar import Commands, Session
from autovibe_cli.transfers import amount_of

STATES = ("pending", "granted", "denied", "withdrawn")


def add(commands: Commands) -> None:
    request = commands.noun("request", "More of a limit: ask for it, grant it, deny it.")
    ask = request.verb(
        "ask",
        _ask,
        "Ask the owners to raise a limit by so much.",
        examples=[
            "request ask demo money 5 --reason 'The tests take long.'",
            "request ask demo calls 50 --machine m12",
        ],
    )
    ask.add_argument("project", metavar="PROJECT")
    ask.add_argument("resource", choices=[*formats.RESOURCES, *formats.SHORT], metavar="RESOURCE")
    ask.add_argument("value", metavar="VALUE", help="by how much, as for “budget set”")
    ask.add_argument("--machine", metavar="MACHINE", help="for this machine: its own limit, where it has one")
    ask.add_argument("--per", choices=PERIODS, default="total", help="which limit (total)")
    ask.add_argument("--reason", default="", help="what it is for")
    listing = request.verb(
        "list", _list, "Requests in your projects, newest first.", examples=["request list --state pending"]
    )
    listing.add_argument("project", nargs="?", metavar="PROJECT")
    listing.add_argument("--state", choices=STATES)
    listing.add_argument("--limit", type=formats.count, default=50, help="at most so many (50)")
    show = request.verb("show", _show, "One request.", examples=["request show 7"])
    show.add_argument("id", metavar="ID", type=formats.count)
    grant = request.verb(
        "grant",
        _grant,
        "Raise the limit. A machine that waits for it goes on by itself.",
        examples=["request grant 7", "request grant 7 --amount 2.50"],
    )
    grant.add_argument("--amount", metavar="VALUE", help="by so much, and not by what was asked for")
    deny = request.verb("deny", _deny, "Say no.", examples=["request deny 7 --answer 'Not this week.'"])
    withdraw = request.verb("withdraw", _withdraw, "Take a request back.", examples=["request withdraw 7"])
    for parser in (grant, deny, withdraw):
        parser.add_argument("id", metavar="ID", type=formats.count)
    for parser in (grant, deny):
        parser.add_argument("--answer", default="", help="a sentence for whoever asked")


def _ask(session: Session, args: Namespace) -> None:
    whose = {"machine": args.machine} if args.machine else {"project": args.project}
    body = {**whose, **amount_of(args), "period": args.per, "reason": args.reason}
    _say(session, session.client.post("budget-requests", body=body))


def _grant(session: Session, args: Namespace) -> None:
    body = {"answer": args.answer}
    if args.amount:
        resource = session.client.get("budget-requests", str(args.id))["resource"]
        try:
            body["amount"] = formats.limit(args.amount, resource)
        except ArgumentTypeError as error:
            raise Usage(f"{error}.") from None
    _say(session, session.client.post("budget-requests", str(args.id), "grant", body=body))


def _deny(session: Session, args: Namespace) -> None:
    _say(session, session.client.post("budget-requests", str(args.id), "deny", body={"answer": args.answer}))


def _withdraw(session: Session, args: Namespace) -> None:
    _say(session, session.client.post("budget-requests", str(args.id), "withdraw"))


def _show(session: Session, args: Namespace) -> None:
    _say(session, session.client.get("budget-requests", str(args.id)))


def _say(session: Session, made: Json) -> None:
    session.out.show(made, lambda one: session.out.line(_sentence(one)))


def _sentence(one: Json) -> str:
    amount = formats.quantity(one["granted"] or one["amount"], one["resource"], one["currency"])
    ends = {
        "pending": f"for {amount} more of {one['resource']} ({one['scope']}) waits for an owner of {one['project']}",
        "granted": f"is granted: {amount} more of {one['resource']} ({one['scope']})",
        "denied": "is denied",
        "withdrawn": "is withdrawn",
    }
    return f"Request {one['id']} {ends[one['state']]}."


def _list(session: Session, args: Namespace) -> None:
    found = session.client.get_all(
        "budget-requests", limit=args.limit, project=args.project, state=args.state
    )

    def render(answer: Json) -> None:
        rows = [
            (
                one["id"],
                one["state"],
                one["scope"],
                one["resource"] + ("" if one["period"] == "total" else f" per {one['period']}"),
                formats.quantity(one["amount"], one["resource"], one["currency"]),
                one["asked_by"] or one["machine"] or "-",
                formats.age(one["created_at"]),
                one["reason"],
            )
            for one in answer["results"]
        ]
        session.out.table(["ID", "STATE", "WHOSE", "RESOURCE", "MORE", "ASKED BY", "AGE", "REASON"], rows)
        if not rows:
            session.out.notice("No request.")

    session.out.show(found, render)
