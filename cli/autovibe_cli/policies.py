"""When checkpoints are taken: what is said of it for a project or a new machine, and what going back does not undo."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Any, Union

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.errors import Usage
from autovibe_cli.grammar import Commands, Session

NUMBERS = {"calls": "every so many model calls; 0: not by calls", "minutes": "at the first call after so many minutes",
           "percent": "whenever so many per cent more of any budget are used"}  # fmt: skip
SHORT_FORMS = ("every_call", "none")
SHOWN = 20

Policy = Union[str, "dict[str, Any]"]


def add(project: Commands) -> None:
    """The verb of the noun `project`."""
    verb = project.verb(
        "checkpoints",
        _checkpoints,
        "When checkpoints of a project's machines are taken: show it, or set it.",
        examples=[
            "project checkpoints demo",
            "project checkpoints demo --calls 5 --minutes 10",
            "project checkpoints demo --before usual --before 'make deploy'",
            "project checkpoints demo --as-types",
        ],
    )
    verb.add_argument("project", metavar="PROJECT")
    for name, meaning in NUMBERS.items():
        verb.add_argument(f"--{name}", metavar="N", type=int, help=meaning)
    verb.add_argument(
        "--before",
        metavar="PATTERN",
        action="append",
        help="before tools that match: a name (rm, git-push-force, usual for all of them) or a regular expression",
    )
    verb.add_argument("--after-files", choices=["yes", "no"], help="after tools that may have written files")
    verb.add_argument(
        "--timing",
        choices=["overlap", "after_response"],
        help="while the model thinks, or once it has answered",
    )
    verb.add_argument("--skip", choices=["yes", "no"], help="share the last state where nothing has changed")
    verb.add_argument(
        "--durable", metavar="WHICH", help="which are backed up: none, final, milestone, or every Nth"
    )
    verb.add_argument("--ram", choices=["yes", "no"], help="those that are asked for: with the memory")
    verb.add_argument("--as-types", action="store_true", help="leave it all to the types of machines again")


def add_option(parser: ArgumentParser) -> None:
    """What a new machine may say of its own checkpoints."""
    parser.add_argument(
        "--checkpoints",
        metavar="POLICY",
        type=parse,
        help="when they are taken: every_call, none, or keys such as calls=5,minutes=10",
    )


def parse(argument: str) -> Policy:
    """ "calls=5,minutes=10" as the API takes it; names and values are checked there."""
    if argument in SHORT_FORMS:
        return argument
    pairs = [pair.partition("=") for pair in argument.split(",")]
    if not all(name and equals for name, equals, _ in pairs):
        raise ArgumentTypeError(f"{argument!r} is neither of {', '.join(SHORT_FORMS)}, nor NAME=VALUE,…")
    return {name.strip(): _value(name.strip(), value.strip()) for name, _, value in pairs}


def _value(name: str, value: str) -> Any:
    if name == "before":
        return [value] if value else []
    if value in ("yes", "no", "true", "false"):
        return value in ("yes", "true")
    return int(value) if value.isdecimal() else value


def _checkpoints(session: Session, args: Namespace) -> None:
    address = ("projects", args.project, "checkpoint-rules")
    said = _said(args)
    if args.as_types and said:
        raise Usage("--as-types leaves everything to the types: say nothing else with it.")
    found = session.client.get(*address)
    if args.as_types or said:
        policy = {**found["policy"], **said} if said else {}
        found = session.client.put(*address, body={"policy": policy})
    session.out.show(found, lambda rules: _render(session, rules))


def _said(args: Namespace) -> dict[str, Any]:
    """The keys that were given."""
    said: dict[str, Any] = {name: getattr(args, name) for name in (*NUMBERS, "before", "timing")}
    for name in ("after_files", "skip", "ram"):
        given = getattr(args, name)
        said[name] = given and given == "yes"
    if args.durable is not None:
        said["durable"] = _value("durable", args.durable)
    return {name: value for name, value in said.items() if value is not None}


def _render(session: Session, rules: Json) -> None:
    own = ", ".join(f"{name}={value}" for name, value in rules["policy"].items())
    session.out.line(f"{rules['project']}: {own or 'as the types of machines have it'}", "bold")
    rows = [(one["type"], one["summary"]) for one in rules["effective"]]
    session.out.table(["TYPE", "CHECKPOINTS"], rows)


def price_of_memory(session: Session, reference: str) -> str:
    """What a checkpoint with the memory would take; raises `Usage` where there can be none."""
    told = session.client.get("machines", reference, "checkpoint")["ram"]
    if not told["possible"]:
        raise Usage(told["sentence"])
    return f"{formats.size(told['bytes'])} of storage. {told['sentence']}"


def tell_not_undone(session: Session, effects: list[Json]) -> None:
    """What agents did outside their guests since."""
    if not effects:
        return
    plural = "" if len(effects) == 1 else "s"
    session.out.notice(f"Not undone by this, {len(effects)} thing{plural} done outside the guest since:")
    for one in effects[:SHOWN]:
        session.out.notice(f"  {one['kind']}: {one['summary']}")
    if len(effects) > SHOWN:
        session.out.notice(f"  … and {len(effects) - SHOWN} more")
