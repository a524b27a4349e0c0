"""Commands on budgets: limits of the system, of projects, members and machines; and what was used at a glance."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Any

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.errors import Usage
from autovibe_cli.grammar import Commands, Session

SYSTEM, HUB = "system", "hub:"
OWNER = "a project; or, for staff, “system” for everything together, “hub:NAME” for all projects of a hub"
METER_WIDTH = 20
PERIODS = ("total", "minute", "hour", "day", "week", "month")


def add(commands: Commands) -> None:
    budget = commands.noun("budget", "What may be used: show, set or remove limits.")
    show = budget.verb(
        "show",
        _show,
        "Limits, and what is spent, held and left of each.",
        examples=["budget show demo", "budget show demo --machine m12", "budget show system"],
    )
    show.add_argument("owner", metavar="OWNER", help=OWNER)
    show.add_argument("--machine", metavar="MACHINE", help="only this machine's own")
    put = budget.verb(
        "set",
        _set,
        "Set one limit. What is not said stays as it is, or is the usual for a new one.",
        examples=[
            "budget set demo money 2.50",
            "budget set demo money 20 --per day --timezone Europe/Berlin --carry-over",
            "budget set demo calls 60 --per minute",
            "budget set demo money 5 --member alice --per week",
            "budget set demo wall 2h --machine m12",
            "budget set system money 500 --per month",
            "budget set hub:primary money 200 --per month",
        ],
    )
    _add_which(put)
    put.add_argument(
        "value",
        metavar="VALUE",
        help="money such as 2.50, time such as 90m, memory and storage in GB-hours, network in GB; else a number",
    )
    put.add_argument("--timezone", metavar="ZONE", help="where its days begin: Europe/Berlin")
    carry = put.add_mutually_exclusive_group()
    carry.add_argument(
        "--carry-over",
        action="store_const",
        const=True,
        default=None,
        help="what a period leaves is added to the next",
    )
    carry.add_argument(
        "--no-carry-over", action="store_const", const=False, dest="carry_over", help="it is lost"
    )
    put.add_argument(
        "--landing", metavar="PERCENT", type=formats.count, help="kept back for wrapping up, 0 to 50"
    )
    put.add_argument("--marks", metavar="50,75,90", type=_marks, help="per cents at which to warn")
    remove = budget.verb(
        "remove",
        _remove,
        "Lift one limit. What was spent stays in the ledger.",
        examples=["budget remove demo calls --per minute"],
    )
    _add_which(remove)
    budget.verb(
        "check",
        _check,
        "Whether spent and held are within every limit this moment; for staff. Exit code 1 unless they are.",
        examples=["budget check"],
    )
    overview = commands.verb(
        "resources",
        _resources,
        "What was used and what is left, everywhere or in one project.",
        examples=["resources", "resources demo --days 7"],
    )
    overview.add_argument("project", nargs="?", metavar="PROJECT")
    overview.add_argument("--days", type=formats.count, default=30, help="of one project, so far back (30)")


def _add_which(parser: ArgumentParser) -> None:
    parser.add_argument("owner", metavar="OWNER", help=OWNER)
    parser.add_argument("resource", choices=[*formats.RESOURCES, *formats.SHORT], metavar="RESOURCE",
                        help=f"{', '.join(formats.RESOURCES)}; or {', '.join(formats.SHORT)} for short")  # fmt: skip
    parser.add_argument(
        "--per", choices=PERIODS, default="total", help="how long it holds before it begins anew (total)"
    )
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--machine", metavar="MACHINE", help="the limit of this machine alone")
    whose.add_argument("--member", metavar="NAME", help="the limit of this member's machines in the project")


def _marks(text: str) -> list[int]:
    return [formats.count(part.strip().rstrip("%")) for part in text.split(",")]


def _show(session: Session, args: Namespace) -> None:
    _print(session, session.client.get(*_path(args)))


def _set(session: Session, args: Namespace) -> None:
    resource = formats.SHORT.get(args.resource, args.resource)
    try:
        body: dict[str, Any] = {"resource": resource, "limit": formats.limit(args.value, resource)}
    except ArgumentTypeError as error:
        raise Usage(f"{error}.") from None
    body.update(_which(args))
    options = {
        "timezone": args.timezone,
        "carry_over": args.carry_over,
        "landing_percent": args.landing,
        "marks": args.marks,
    }
    body.update({name: value for name, value in options.items() if value is not None})
    _print(session, session.client.put(*_path(args), body=body))


def _remove(session: Session, args: Namespace) -> None:
    resource = formats.SHORT.get(args.resource, args.resource)
    session.client.delete(*_path(args), resource=resource, **_which(args))
    _print(session, session.client.get(*_path(args)))


def _check(session: Session, args: Namespace) -> int:
    def render(one: Json) -> None:
        session.out.line(
            f"{one['windows']} periods looked at, {one['violations']} where more is used than allowed."
        )

    found = session.client.get("resources", "invariant")
    session.out.show(found, render)
    return 1 if found["violations"] else 0


def _which(args: Namespace) -> dict[str, str]:
    """Beside the resource: the period and the member, where they are not the usual ones."""
    period = {"period": args.per} if args.per != "total" else {}
    return {**period, **({"member": args.member} if args.member else {})}


def _path(args: Namespace) -> tuple[str, ...]:
    if args.owner == SYSTEM or args.owner.startswith(HUB):
        if args.machine or getattr(args, "member", None):
            raise Usage(f"A machine or member belongs to a project; name that instead of “{args.owner}”.")
        return "budgets", args.owner
    return ("machines", args.machine, "budgets") if args.machine else ("projects", args.owner, "budgets")


def _print(session: Session, answer: Json) -> None:
    def render(_: Json) -> None:
        print_limits(session, answer["budgets"], answer["currency"])
        if not answer["budgets"]:
            session.out.notice("No limit here.")

    session.out.show(answer, render)


def print_limits(session: Session, budgets: list[Json], currency: str) -> None:
    """A table of limits; the meter is # for spent and - for held."""
    amounts = ("limit", "spent", "reserved", "left")
    rows = [
        (
            one["scope"],
            one["resource"],
            "for good" if one["period"] == "total" else f"per {one['period']}",
            meter(one),
            *(formats.quantity(one[name], one["resource"], currency) for name in amounts),
            formats.when_next(one["ends_at"]),
        )
        for one in budgets
    ]
    session.out.table(
        [
            "WHOSE",
            "RESOURCE",
            "PERIOD",
            "USE".ljust(METER_WIDTH + 2),
            "LIMIT",
            "SPENT",
            "HELD",
            "LEFT",
            "RENEWS",
        ],
        rows,
    )


def meter(budget: Json) -> str:
    """`[######---          ]`"""
    whole = max(budget["limit"], 1)
    spent = min(METER_WIDTH, round(METER_WIDTH * (budget["spent"] + budget["overrun"]) / whole))
    held = min(METER_WIDTH - spent, -(-METER_WIDTH * budget["reserved"] // whole))
    return f"[{'#' * spent}{'-' * held}{' ' * (METER_WIDTH - spent - held)}]"


def _resources(session: Session, args: Namespace) -> None:
    if args.project:
        found = session.client.get("resources", "projects", args.project, days=args.days)
        session.out.show(found, lambda one: _render_project(session, one))
    else:
        session.out.show(session.client.get("resources", "overview"), lambda all: _render_all(session, all))


def _render_all(session: Session, answer: Json) -> None:
    out = session.out
    if answer["system"]:
        out.line("The whole system", "bold")
        print_limits(session, answer["system"], "USD")
        out.line()
    for one in answer["projects"]:
        spent = [formats.money(one[span]["micros"], one["currency"]) for span in ("today", "used")]
        out.line(f"{one['project']}: {spent[0]} today, {spent[1]} in 30 days", "bold")
        print_limits(session, one["budgets"], one["currency"])
        if not one["budgets"]:
            out.line("  No limit, so nothing may be spent.")
        out.line()
    if not answer["projects"]:
        out.notice("No projects.")


def _render_project(session: Session, one: Json) -> None:
    out = session.out
    print_limits(session, one["budgets"], one["currency"])
    for title in ("models", "types", "machines", "members"):
        out.line()
        out.table([title.upper(), *_USED], [_row(part, one["currency"]) for part in one[title]])
    out.line()
    out.table(["", *_USED], [_row({"name": "SUM", "used": one["used"]}, one["currency"])])
    for held in one["holds"]:
        amounts = ", ".join(
            formats.quantity(held["held"][name], name, one["currency"]) for name in held["held"]
        )
        out.notice(f"Held for {held['what']} of {held['machine'] or 'no machine'}: {amounts}")


_USED = ("CALLS", "NEW", "CACHED", "OUT", "WALL", "COST")


def _row(part: Json, currency: str) -> tuple[object, ...]:
    used = part["used"]
    return (
        part["name"] or "-",
        f"{used['calls']:,}",
        f"{used['input_tokens'] + used['cache_write_tokens']:,}",
        f"{used['cached_tokens']:,}",
        f"{used['output_tokens']:,}",
        formats.duration(used["wall_seconds"]) if used["wall_seconds"] else "-",
        formats.money(used["micros"], currency),
    )
