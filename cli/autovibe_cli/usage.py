"""What a machine used, minute by minute."""

from __future__ import annotations

from argparse import Namespace
from datetime import datetime, timedelta, timezone

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.grammar import Commands, Session

_AMOUNTS = ("disk_read_bytes", "disk_written_bytes", "received_bytes", "sent_bytes")


def add(commands: Commands) -> None:
    command = commands.verb(
        "usage",
        _usage,
        "What a machine used, minute by minute.",
        examples=["usage m12", "usage m12 --since 6h"],
    )
    command.add_argument("reference", metavar="MACHINE")
    command.add_argument(
        "--since", metavar="TIME", type=formats.seconds, default=3600, help="so long back, at most 7d (1h)"
    )


def _usage(session: Session, args: Namespace) -> None:
    since = datetime.now(timezone.utc) - timedelta(seconds=args.since)
    found = session.client.get("machines", args.reference, "usage", since=since.isoformat())

    def render(answer: Json) -> None:
        session.out.table(
            ["MINUTE", "CPU", "MEMORY", "READ", "WRITTEN", "RECEIVED", "SENT"],
            [
                (
                    formats.minute(one["at"]),
                    f"{one['cpu_seconds']:.1f}s",
                    formats.size(one["memory_bytes"]),
                    *(formats.size(one[name]) for name in _AMOUNTS),
                )
                for one in answer["results"]
            ],
        )
        if not answer["results"]:
            session.out.notice("Nothing was measured in that time.")

    session.out.show(found, render)
