"""Commands on projects, their budgets, the types of machines, and operations."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.errors import Usage
from autovibe_cli.grammar import Commands, Session
from autovibe_cli.watch import progress


def add(commands: Commands) -> None:
    commands.verb("projects", _list, "The projects that you may see.")
    project = commands.noun("project", "One project: create it.")
    create = project.verb(
        "create", _create, "Make a project; you become its owner.", examples=["project create shop"]
    )
    create.add_argument("slug", metavar="SLUG", help="lower-case letters, digits, hyphens")
    create.add_argument("--name", help="as people call it")
    budget = commands.noun("budget", "What may be spent: show or set it.")
    show = budget.verb(
        "show",
        _show_budget,
        "A project's limits, and what is spent, held and left.",
        examples=["budget show demo"],
    )
    show.add_argument("project", metavar="PROJECT")
    put = budget.verb(
        "set",
        _set_budget,
        "Set one limit of a project.",
        examples=["budget set demo money 2.50", "budget set demo calls 500"],
    )
    put.add_argument("project", metavar="PROJECT")
    put.add_argument("resource", choices=["money", "tokens", "calls"])
    put.add_argument(
        "value", metavar="VALUE", help="money in units of the currency, such as 10 or 2.50; else a number"
    )
    put.add_argument("--machine", metavar="REF", help="the limit of this machine of the project alone")
    commands.verb("types", _types, "The types of agent that a machine can run.")
    operation = commands.noun("operation", "One operation: show it.")
    operation.verb("show", _show_operation, "How far an operation is, and how it ended.").add_argument(
        "id", metavar="ID"
    )


def _list(session: Session, args: Namespace) -> None:
    def render(answer: Json) -> None:
        rows = [
            (one["slug"], one["currency"], formats.age(one["created_at"]), one["name"])
            for one in answer["results"]
        ]
        session.out.table(["PROJECT", "CURRENCY", "AGE", "NAME"], rows)
        if not rows:
            session.out.notice(f"No projects. Make one: {session.prog} project create SLUG")

    session.out.show(session.client.get("projects"), render)


def _create(session: Session, args: Namespace) -> None:
    named = {"name": args.name} if args.name else {}
    made = session.client.post("projects", body={"slug": args.slug, **named})
    session.out.show(made, lambda project: session.out.line(f"Project {project['slug']} is there."))
    if not session.out.as_json:
        session.out.notice(f"Give it something to spend: {session.prog} budget set {made['slug']} money 10")


def _show_budget(session: Session, args: Namespace) -> None:
    _print_budgets(session, session.client.get("projects", args.project, "budgets"))


def _set_budget(session: Session, args: Namespace) -> None:
    try:
        limit = (formats.micros if args.resource == "money" else formats.count)(args.value)
    except ArgumentTypeError as error:
        raise Usage(f"{error}.") from None
    owner = ("machines", args.machine) if args.machine else ("projects", args.project)
    _print_budgets(
        session, session.client.put(*owner, "budgets", body={"resource": args.resource, "limit": limit})
    )


def _print_budgets(session: Session, answer: Json) -> None:
    def shown(budget: Json, name: str) -> str:
        return formats.quantity(budget[name], budget["resource"], answer["currency"])

    def render(_: Json) -> None:
        amounts = ("limit", "spent", "reserved", "left")
        rows = [
            (one["scope"], one["resource"], *(shown(one, name) for name in amounts))
            for one in answer["budgets"]
        ]
        session.out.table(["WHOSE", "RESOURCE", "LIMIT", "SPENT", "HELD", "LEFT"], rows)
        if not rows:
            session.out.notice("No budget, so nothing may be spent.")

    session.out.show(answer, render)


def _types(session: Session, args: Namespace) -> None:
    def render(answer: Json) -> None:
        rows = [
            (one["name"], one["default_model"] or "-", one["checkpoints"], one["summary"])
            for one in answer["results"]
        ]
        session.out.table(["TYPE", "MODEL", "CHECKPOINTS", "WHAT IT IS"], rows)

    session.out.show(session.client.get("machine-types"), render)


def _show_operation(session: Session, args: Namespace) -> None:
    def render(one: Json) -> None:
        session.out.line(progress({**one, "error": ""}), "bold")
        session.out.fields(
            [
                ("error", one["error"]),
                ("warnings", one["warnings"]),
                ("subject", one["subject"]),
                ("asked for by", one["requested_by"]),
                ("attempts", one["attempts"]),
                ("Proxmox task", one["upid"]),
                ("asked", formats.when(one["created_at"])),
                ("started", formats.when(one["started_at"])),
                ("finished", formats.when(one["finished_at"])),
            ]
        )

    session.out.show(session.client.get("operations", args.id), render)
