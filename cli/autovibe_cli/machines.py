"""Commands on machines: list, show, watch, logs, pause, resume, roll back, terminate."""

from __future__ import annotations

import sys
import time
from argparse import Namespace

from autovibe_cli import formats, inspecting, policies, predicting
from autovibe_cli.client import Json
from autovibe_cli.grammar import Commands, Session
from autovibe_cli.questions import confirm
from autovibe_cli.watch import INTERRUPTED, POLL_SECONDS, Log, progress, watch

ENDED = {"terminated", "failed"}
TAIL = 20


def add(commands: Commands) -> None:
    _add_list(commands)
    machine = commands.noun("machine", "One machine: show it, watch it, look at its past.")
    machine.verb("show", _show, "Everything about a machine.", examples=["machine show m12"]).add_argument(
        "reference", metavar="MACHINE"
    )
    follow = machine.verb(
        "watch", _watch, "Follow a machine until it ended or paused.", examples=["machine watch m12"]
    )
    follow.add_argument("reference", metavar="MACHINE")
    follow.add_argument(
        "--tail", metavar="N", type=formats.count, default=TAIL, help=f"begin with the last N lines ({TAIL})"
    )
    logs = commands.verb(
        "logs",
        _logs,
        "What the agent printed.",
        examples=["logs m12 --tail 50", "logs -f m12", "logs m12 --search 'exit code'"],
    )
    logs.add_argument("reference", metavar="MACHINE")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the machine ended")
    logs.add_argument("--tail", metavar="N", type=formats.count, help="only the last N lines")
    logs.add_argument("--search", metavar="WORDS", help="only lines that say these words, in this order")
    inspecting.add_machine(machine)
    _add_verbs(commands)


def _add_list(commands: Commands) -> None:
    machines = commands.verb(
        "machines",
        _list,
        "Machines, newest first.",
        aliases=["ls"],
        examples=["machines --project demo --state running,paused"],
    )
    machines.add_argument("--project")
    machines.add_argument("--state", metavar="STATE[,STATE]")
    machines.add_argument("--type")
    machines.add_argument("--counts", action="store_true", help="only how many, by state")
    machines.add_argument("--limit", metavar="N", type=formats.count, default=50, help="at most so many (50)")


def _add_verbs(commands: Commands) -> None:
    for verb, summary in {
        "pause": "Freeze a machine until somebody resumes it.",
        "resume": "Let a paused machine go on.",
        "terminate": "End a machine, after a last checkpoint.",
    }.items():
        parser = commands.verb(verb, _verb, summary, examples=[f"{verb} m12"])
        parser.set_defaults(verb=verb, watch=False)
        parser.add_argument("reference", metavar="MACHINE")
        parser.add_argument("--yes", action="store_true", help="do not ask (only terminate does)")
        if verb != "pause":
            parser.add_argument(
                "--watch", action="store_true", help="stay until it ended or paused, and show its log"
            )
    rollback = commands.verb(
        "rollback",
        _rollback,
        "Put a machine back to one of its own checkpoints.",
        examples=["rollback m12 m12.c3 --watch"],
    )
    rollback.add_argument("reference", metavar="MACHINE")
    rollback.add_argument("checkpoint", metavar="CHECKPOINT")
    rollback.add_argument("--yes", action="store_true", help="do not ask (it does on a terminal only)")
    rollback.add_argument(
        "--watch", action="store_true", help="stay until it ended or paused, and show its log"
    )


def _show_counts(session: Session, rows: list[tuple[str, int]], room: str) -> None:
    session.out.table(["STATE", "MACHINES"], rows)
    session.out.line(room)


def _list(session: Session, args: Namespace) -> None:
    if args.counts:
        filters = {"project": args.project, "state": args.state, "type": args.type}
        counted = session.client.get("machines", "counts", **filters)
        rows = [(state, number) for state, number in counted["states"].items() if number]
        session.out.show(counted, lambda all: _show_counts(session, rows, all["room"]["sentence"]))
        return
    found = session.client.get_all(
        "machines", limit=args.limit, project=args.project, state=args.state, type=args.type
    )

    def render(answer: Json) -> None:
        session.out.table(
            ["MACHINE", "STATE", "PROJECT", "TYPE", "FROM", "AGE", "PROMPT"],
            [
                (
                    one["handle"],
                    one["state"],
                    one["project"],
                    one["type"],
                    one["source"],
                    formats.age(one["created_at"]),
                    one["title"],
                )
                for one in answer["results"]
            ],
        )
        if not answer["results"]:
            session.out.notice("No machines.")
        if answer["more"]:
            session.out.notice(f"There are more: --limit {args.limit * 4}")

    session.out.show(found, render)


def _show(session: Session, args: Namespace) -> None:
    machine = session.client.get("machines", args.reference)

    def render(answer: Json) -> None:
        session.out.line(f"{answer['handle']}  {answer['title']}", "bold")
        session.out.fields([*_fields(answer), *_limits(session, answer)])
        session.out.line("\n" + answer["prompt"].strip())

    session.out.show(machine, render)


def _fields(machine: Json) -> list[tuple[str, object]]:
    operation = machine.get("operation")
    return [
        ("state", machine["state"]),
        ("why", machine["sentence"]),
        ("under way", progress(operation) if operation else None),
        ("project", machine["project"]),
        ("type", machine["type"] + (f", model {machine['model']}" if machine["model"] else "")),
        ("spawned from", machine["source"]),
        ("latest checkpoint", machine["present"]),
        ("replays", machine.get("replays")),
        ("guest", f"VM {machine['vmid']} on {machine['node']}, {machine['power']}"),
        ("observed", formats.when(machine["observed_at"])),
        ("created", formats.when(machine["created_at"])),
        ("started", formats.when(machine["run_started_at"])),
        ("heard from", formats.when(machine["heard_at"])),
        ("ended", formats.when(machine["ended_at"])),
        ("exit code", machine["exit_code"]),
        ("network", machine["network"]),
        ("time limit", formats.duration(machine["wall_seconds"])),
        (
            "expected",
            predicting.summary(machine["prediction"], machine["currency"]).removeprefix("Expected: "),
        ),
        ("may be asked", ", ".join(machine["verbs"])),
    ]


def _limits(session: Session, machine: Json) -> list[tuple[str, object]]:
    """The machine's own limits; what it may spend of its project's is on the project's page."""
    answer = session.client.get("projects", machine["project"], "budgets")

    def shown(amount: int, resource: str) -> str:
        return formats.quantity(amount, resource, answer["currency"])

    return [
        (
            one["resource"],
            f"{shown(one['spent'], one['resource'])} spent of {shown(one['limit'], one['resource'])}",
        )
        for one in answer["budgets"]
        if one["machine_id"] == machine["id"]
    ]


def _watch(session: Session, args: Namespace) -> int:
    return watch(session, args.reference, tail=args.tail)


def _logs(session: Session, args: Namespace) -> int:
    log = Log(session, args.reference, tail=args.tail, search=args.search)
    try:
        while not (complete := log.advance()) or (args.follow and log.state not in ENDED):
            if complete:
                time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _verb(session: Session, args: Namespace) -> int:
    if args.verb == "terminate" and not args.yes:
        confirm(f"Terminate {args.reference}? It is checkpointed, then switched off.")
    operation = session.client.do(args.verb, machine=args.reference)
    return _begun(session, args, operation)


def _rollback(session: Session, args: Namespace) -> int:
    if not session.out.as_json:
        _tell_fallback(session, args)
    operation = session.client.do("rollback", {"checkpoint": args.checkpoint}, machine=args.reference)
    return _begun(session, args, operation)


def _tell_fallback(session: Session, args: Namespace) -> None:
    """What it would cost if that checkpoint turned out not to be restorable; on a terminal, with a question."""
    preview = session.client.get("machines", args.reference, "rollback", checkpoint=args.checkpoint)
    if found := preview["fallback"]:
        session.out.notice(
            f"Should {preview['checkpoint']} not be restorable, it goes back to {found['sentence']}."
        )
    policies.tell_not_undone(session, preview.get("not_undone", []))
    if preview["possible"] and sys.stdin.isatty() and not args.yes:
        confirm(
            f"Put {args.reference} back to {preview['checkpoint']}? What it is now is kept in a checkpoint."
        )


def _begun(session: Session, args: Namespace, operation: Json) -> int:
    if args.watch:
        return watch(session, args.reference, operation=operation["id"], tail=0)
    session.out.show(
        operation, lambda begun: session.out.line(f"{begun['verb']} of {args.reference} has begun.")
    )
    if not session.out.as_json:
        session.out.notice(f"How far it is: {session.prog} operation show {operation['id']}")
    return 0
