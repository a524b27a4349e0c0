"""Commands on pools, the money of a day that several projects share. For staff."""

from __future__ import annotations

from argparse import Namespace

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.grammar import Commands, Session

CURRENCY = "USD"


def add(commands: Commands) -> None:
    pool = commands.noun("pool", "Money for a day that projects share by greediness. For staff.")
    pool.verb("list", _list, "The pools, and how today's money was dealt out.", examples=["pool list"])
    one = pool.verb("show", _look, "One pool.", examples=["pool show house"])
    one.add_argument("name", metavar="NAME")
    put = pool.verb(
        "set",
        _set,
        "Make a pool or change it. What is not said stays as it is.",
        examples=["pool set house 100 --timezone Europe/Berlin", "pool set house 80 --min 5 --max 60 --adjust"],
    )  # fmt: skip
    put.add_argument("name", metavar="NAME")
    put.add_argument("amount", metavar="AMOUNT", type=formats.micros, help="of money a day")
    put.add_argument("--timezone", metavar="ZONE", help="where its days begin: Europe/Berlin")
    put.add_argument(
        "--min",
        metavar="PERCENT",
        type=formats.count,
        dest="min_percent",
        help="the least, for who wants any",
    )
    put.add_argument("--max", metavar="PERCENT", type=formats.count, dest="max_percent", help="the most")
    adjust = put.add_mutually_exclusive_group()
    adjust.add_argument(
        "--adjust",
        action="store_const",
        const=True,
        default=None,
        help="who achieves more with its money gets more",
    )
    adjust.add_argument(
        "--no-adjust", action="store_const", const=False, dest="adjust", help="by greediness alone"
    )
    join = pool.verb("add", _add, "Let a project share in a pool.", examples=["pool add house demo"])
    join.add_argument("name", metavar="NAME")
    join.add_argument("project", metavar="PROJECT")
    remove = pool.verb(
        "remove",
        _remove,
        "Take a project out of a pool, or remove the pool.",
        examples=["pool remove house demo", "pool remove house"],
    )
    remove.add_argument("name", metavar="NAME")
    remove.add_argument("project", metavar="PROJECT", nargs="?")


def _list(session: Session, args: Namespace) -> None:
    def render(answer: Json) -> None:
        for one in answer["results"]:
            _render(session, one)
        if not answer["results"]:
            session.out.notice(f"No pool. Make one: {session.prog} pool set NAME AMOUNT")

    session.out.show(session.client.get("pools"), render)


def _look(session: Session, args: Namespace) -> None:
    _show(session, session.client.get("pools", args.name))


def _set(session: Session, args: Namespace) -> None:
    options = {name: getattr(args, name) for name in ("timezone", "min_percent", "max_percent", "adjust")}
    given = {name: value for name, value in options.items() if value is not None}
    _show(session, session.client.put("pools", args.name, body={"amount": args.amount, **given}))


def _add(session: Session, args: Namespace) -> None:
    _show(session, session.client.put("pools", args.name, "projects", args.project, body={}))


def _remove(session: Session, args: Namespace) -> None:
    project = ("projects", args.project) if args.project else ()
    session.client.delete("pools", args.name, *project)
    taken = f"{args.project} from {args.name}" if args.project else args.name
    session.out.notice(f"Removed {taken}.")


def _show(session: Session, pool: Json) -> None:
    session.out.show(pool, lambda one: _render(session, one))


def _render(session: Session, one: Json) -> None:
    adjusts = ", adjusted by what they achieve" if one["adjust"] else ""
    session.out.line(
        f"{one['name']}: {formats.money(one['amount'], CURRENCY)} a day ({one['timezone']}), "
        f"{one['min_percent']} to {one['max_percent']} % each{adjusts}",
        "bold",
    )
    dealt = {share["project"]: share["sentence"] for share in one["shares"]}
    waits = "is dealt its part within seconds"
    session.out.table(
        ["PROJECT", "TODAY"], [(project, dealt.get(project, waits)) for project in one["projects"]]
    )
