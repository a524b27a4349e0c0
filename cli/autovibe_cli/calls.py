"""A machine's model calls: what they cost, what was said in them, and its run played again from the record."""

from __future__ import annotations

import json
import sys
import uuid
from argparse import Namespace

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.grammar import Commands, Session
from autovibe_cli.watch import watch


def add(commands: Commands) -> None:
    listing = commands.verb(
        "calls", _list, "The model calls of a machine, oldest first.", examples=["calls m12"]
    )
    listing.add_argument("reference", metavar="MACHINE")
    listing.add_argument(
        "--limit", metavar="N", type=formats.count, default=200, help="the last so many (200)"
    )
    one = commands.verb(
        "call",
        _show,
        "What was said in a model call, as it was recorded.",
        examples=["call m12 3", "call m12 3 --response"],
    )
    one.add_argument("reference", metavar="MACHINE")
    one.add_argument("number", metavar="NUMBER", type=formats.count)
    side = one.add_mutually_exclusive_group()
    side.add_argument("--request", action="store_true", help="only what the agent sent, as it did")
    side.add_argument("--response", action="store_true", help="only what it was answered, as it was")
    _add_replay(commands)


def _add_replay(commands: Commands) -> None:
    replay = commands.verb(
        "replay",
        _replay,
        "Run a machine again from the record of its model calls; no model is asked.",
        examples=["replay m12 --watch", "replay m12 --lenient"],
    )
    replay.add_argument("reference", metavar="MACHINE")
    replay.add_argument(
        "--lenient",
        action="store_true",
        help="where the agent departs from the record, give it the next answer",
    )
    replay.add_argument("--pace", action="store_true", help="answers take as long as they took")
    replay.add_argument(
        "--watch", action="store_true", help="stay until it ended or paused, and show its log"
    )


def _list(session: Session, args: Namespace) -> None:
    found = session.client.get_all("machines", args.reference, "calls", limit=args.limit)

    def render(answer: Json) -> None:
        session.out.table(
            ["CALL", "STATE", "MODEL", "READ", "CACHED", "WRITTEN", "COST", "FROM", "TOOK", "HELD", "RECORD"],
            [_row(one) for one in reversed(answer["results"])],
        )
        if not answer["results"]:
            session.out.notice("No model calls.")
        for one in reversed(answer["results"]):
            if said := one["error"] or one["departure"]:
                session.out.notice(f"{one['number']}: {said}")
        if answer["more"]:
            session.out.notice(f"There are earlier ones: --limit {args.limit * 4}")

    session.out.show(found, render)


def _row(call: Json) -> tuple[object, ...]:
    source = f"call {call['replayed']}" if call["replayed"] else call["upstream"] or "-"
    return (
        call["number"],
        call["state"],
        call["model"],
        f"{call['input_tokens'] + call['cache_write_tokens']:,}",
        f"{call['cached_tokens']:,}",
        f"{call['output_tokens']:,}",
        f"{call['cost_micros'] / formats.MICROS:.6f}",
        source,
        "-" if call["duration_ms"] is None else f"{call['duration_ms'] / 1000:.1f}s",
        f"{call['stall_ms'] / 1000:.1f}s",
        call["recorded"] or "-",
    )


def _show(session: Session, args: Namespace) -> None:
    found = session.client.get("machines", args.reference, "calls", str(args.number))

    def render(said: Json) -> None:
        if args.request or args.response:
            sys.stdout.write(said["request" if args.request else "response"])
            return
        session.out.line(f"Call {said['call']['number']}, {said['call']['model']}", "bold")
        session.out.line(_readable(said["request"]))
        session.out.line(f"\nAnswered ({said['content_type']}):", "bold")
        session.out.line(_readable(said["response"]))

    session.out.show(found, render)


def _readable(body: str) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body


def _replay(session: Session, args: Namespace) -> int:
    body = {"lenient": args.lenient, "pace": args.pace}
    machine = session.client.post("machines", args.reference, "replay", body=body, key=str(uuid.uuid4()))
    if not (args.watch and session.out.as_json):
        session.out.show(
            machine, lambda made: session.out.line(f"{made['handle']} replays {args.reference}.", "bold")
        )
    if args.watch:
        return watch(session, machine["handle"])
    if not session.out.as_json:
        session.out.notice(f"Watch it: {session.prog} machine watch {machine['handle']}")
    return 0
