"""What happened, from the audit trail: the latest events, and what happens from now on."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from autovibe_cli import formats
from autovibe_cli.client import PATIENCE_SECONDS, PAUSE_SECONDS, Json
from autovibe_cli.errors import Failure, Unreachable
from autovibe_cli.grammar import Commands, Session
from autovibe_cli.watch import INTERRUPTED

# What the API can be asked for, and how it is said here.
FILTERS = {
    "project": "only in this project",
    "subject": "only of this machine, checkpoint or project: m12, m12.c3, demo",
    "kind": "only of this kind: machine.running, or machine.* for all of a thing",
    "actor": "only by this user, or system",
    "interface": "only what was asked for by page, api, admin, mcp, gateway, hub or command",
    "since": "only at this time or later: 2031-05-06, 2031-05-06T12:00Z, or 2h, 7d ago",
    "until": "only before this time",
    "request_id": "only what this request led to",
    "address": "only what was asked for from this address",
    "token": "only what was asked for with this API token",
}


def add(commands: Commands) -> None:
    events = commands.verb(
        "events",
        _events,
        "What happened: the latest events, or what happens from now on.",
        examples=[
            "events --project demo --since 2h",
            "events --kind 'machine.*' --actor alice 'out of memory'",
            "events --follow --json | jq .kind",
        ],
    )
    add_filters(events)
    events.add_argument("--limit", type=formats.count, default=50, help="at most so many events (50)")
    events.add_argument(
        "--follow", "-f", action="store_true", help="go on with what happens, until interrupted"
    )


def add_filters(parser: ArgumentParser) -> None:
    """The words and options that say which events."""
    parser.add_argument(
        "q", metavar="WORDS", nargs="?", help="words that were said, or field:value, or -field:value"
    )
    for name, said in FILTERS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar=name.upper().replace("_ID", ""), help=said)


def asked(args: Namespace) -> dict[str, object]:
    """The parameters that the options come to."""
    return {name: getattr(args, name) for name in ("q", *FILTERS)}


def _events(session: Session, args: Namespace) -> int | None:
    if args.follow:
        return _follow(session, asked(args))
    found = session.client.get_all("events", limit=args.limit, **asked(args))

    def render(answer: Json) -> None:
        headers = ["WHEN", "WHO", "WHAT", "ON", "PROJECT", "FROM"]
        session.out.table(headers, [_row(event) for event in answer["results"]])
        if not answer["results"]:
            session.out.notice("No event.")
        elif answer["more"]:
            session.out.notice("There are more: --limit")

    session.out.show(found, render)
    return None


def _row(event: Json) -> tuple[object, ...]:
    source = " ".join(filter(None, (event["interface"], event["address"], event["token"])))
    return (
        formats.minute(event["at"]),
        event["actor"],
        event["kind"],
        event["data"].get("handle") or event["subject"],
        event["project"] or "-",
        source or "-",
    )


def _follow(session: Session, query: dict[str, object]) -> int:
    try:
        for event in _stream(session, query):
            if session.out.as_json:
                session.out.record(**event)
            else:
                session.out.line("  ".join(map(str, _row(event))))
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _stream(session: Session, query: dict[str, object]) -> Iterator[Json]:
    """Each event as it comes. A connection that breaks is made again, and nothing is missed."""
    after: str | None = None
    heard = time.monotonic()
    while True:
        try:
            for kind, place, data in _messages(session, {**query, "after": after}):
                after, heard = place or after, time.monotonic()
                if kind == "end":
                    raise Failure(str(data["detail"]))
                if data:
                    yield data
        except Unreachable as broken:
            if after is None or time.monotonic() - heard > PATIENCE_SECONDS:
                raise
            session.out.notice(f"{broken} Trying again …")
        time.sleep(PAUSE_SECONDS)


def _messages(session: Session, query: dict[str, object]) -> Iterator[tuple[str, str, Json]]:
    """Kind, place and data of each message; a message without data only says the place."""
    fields: dict[str, str] = {}
    for line in session.client.lines("events", "stream", accept="text/event-stream", **query):
        name, _, value = line.rstrip("\r\n").partition(": ")
        if name:
            fields[name] = value
        else:
            yield fields.get("event", ""), fields.get("id", ""), json.loads(fields.get("data", "{}"))
            fields = {}
