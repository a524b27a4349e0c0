"""Commands on projects, the types of machines. Budgets are in `budgets`."""

from __future__ import annotations

from argparse import Namespace

from autovibe_cli import formats, policies, retention
from autovibe_cli.client import Json
from autovibe_cli.errors import Usage
from autovibe_cli.grammar import Commands, Session


def add(commands: Commands) -> None:
    commands.verb("projects", _list, "The projects that you may see.", examples=["projects"])
    project = commands.noun("project", "Projects: list, show and create them, and their settings.")
    project.verb("list", _list, "The projects that you may see.", examples=["project list"])
    show = project.verb("show", _show, "Everything about a project.", examples=["project show demo"])
    show.add_argument("project", metavar="PROJECT")
    create = project.verb(
        "create", _create, "Make a project; you become its owner.", examples=["project create shop"]
    )
    create.add_argument("slug", metavar="SLUG", help="lower-case letters, digits, hyphens")
    create.add_argument("--name", help="as people call it")
    _add_recording(project)
    retention.add(project)
    policies.add(project)
    greediness = project.verb(
        "greediness",
        _greediness,
        "How much a project wants of a pool that it shares with others, from 0 to 1.",
        examples=["project greediness demo 0.7"],
    )
    greediness.add_argument("project", metavar="PROJECT")
    greediness.add_argument("value", metavar="VALUE", nargs="?", help="to set it; else it is shown")
    hub = project.verb(
        "hub",
        _hub,
        "The hub that a project belongs to, and whose limits hold for it; for staff to set.",
        examples=["project hub demo", "project hub demo research"],
    )
    hub.add_argument("project", metavar="PROJECT")
    hub.add_argument("name", metavar="NAME", nargs="?", help="to give it to another; else it is shown")
    calibration = project.verb(
        "calibration",
        _calibration,
        "How often forecasts held the truth in a project; eight of ten are meant to.",
        examples=["project calibration demo"],
    )
    calibration.add_argument("project", metavar="PROJECT")
    commands.verb(
        "types",
        _types,
        "The types of agent that a machine can run.",
        aliases=["machine-types"],
        examples=["types"],
    )


def _add_recording(project: Commands) -> None:
    recording = project.verb(
        "recording",
        _recording,
        "What is kept of what is said in a project's model calls: show it, or set it.",
        examples=["project recording demo", "project recording demo redacted --days 7"],
    )
    recording.add_argument("project", metavar="PROJECT")
    recording.add_argument("mode", metavar="MODE", nargs="?", choices=["off", "redacted", "full"])
    recording.add_argument("--days", metavar="N", type=formats.count, help="how long it is kept")


def _recording(session: Session, args: Namespace) -> None:
    address = ("projects", args.project, "recording")
    if args.days is not None and not args.mode:
        raise Usage("Say the mode too: off, redacted or full.")
    if args.mode:
        policy = session.client.put(*address, body={"mode": args.mode, "days": args.days})
    else:
        policy = session.client.get(*address)
    session.out.show(
        policy,
        lambda one: session.out.fields([("recording", one["mode"]), ("kept for", f"{one['days']} days")]),
    )


def _greediness(session: Session, args: Namespace) -> None:
    address = ("projects", args.project)
    if args.value is None:
        found = session.client.get(*address)
    else:
        found = session.client.put(*address, "greediness", body={"greediness": args.value})
    session.out.show(found, lambda one: session.out.line(f"Greediness of {one['slug']}: {one['greediness']}"))


def _hub(session: Session, args: Namespace) -> None:
    address = ("projects", args.project)
    if args.name is None:
        found = session.client.get(*address)
    else:
        found = session.client.put(*address, "hub", body={"hub": args.name})
    session.out.show(found, lambda one: session.out.line(f"Hub of {one['slug']}: {one['hub']}"))


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


def _show(session: Session, args: Namespace) -> None:
    def render(one: Json) -> None:
        session.out.line(f"{one['slug']}  {one['name']}", "bold")
        session.out.fields(
            [
                ("currency", one["currency"]),
                ("hub", one["hub"]),
                ("greediness", one["greediness"]),
                ("its machines are", one.get("machine_role")),
                ("created", formats.when(one["created_at"])),
            ]
        )

    session.out.show(session.client.get("projects", args.project), render)


def _calibration(session: Session, args: Namespace) -> None:
    def render(answer: Json) -> None:
        machines, budgets = answer["machines"], answer["budgets"]
        rows = [
            ("machine", name, f"{inside} of {machines['n']}") for name, inside in machines["inside"].items()
        ]
        session.out.table(
            ["FORECAST OF", "FIGURE", "HELD"],
            [*rows, ("budget", "", f"{budgets['inside']} of {budgets['n']}")],
        )

    session.out.show(session.client.get("projects", args.project, "calibration"), render)


def _create(session: Session, args: Namespace) -> None:
    named = {"name": args.name} if args.name else {}
    made = session.client.post("projects", body={"slug": args.slug, **named})
    session.out.show(made, lambda project: session.out.line(f"Project {project['slug']} is there."))
    if not session.out.as_json:
        session.out.notice(f"Give it something to spend: {session.prog} budget set {made['slug']} money 10")


def _types(session: Session, args: Namespace) -> None:
    def render(answer: Json) -> None:
        rows = [
            (one["name"], one["default_model"] or "-", one["checkpoints"], one["summary"])
            for one in answer["results"]
        ]
        session.out.table(["TYPE", "MODEL", "CHECKPOINTS", "WHAT IT IS"], rows)

    session.out.show(session.client.get("machine-types"), render)
