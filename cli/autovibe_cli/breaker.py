"""`breaker`: a project's circuit breaker, which stops its machines when they spend much faster than is normal."""

from __future__ import annotations

from argparse import Namespace

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.grammar import Commands, Session


def add(commands: Commands) -> None:
    breaker = commands.verb(
        "breaker",
        _breaker,
        "A project's circuit breaker, which stops runaway spending: show it, set it, or close it.",
        examples=["breaker demo", "breaker demo --factor 6", "breaker demo --close"],
    )
    breaker.add_argument("project", metavar="PROJECT")
    change = breaker.add_mutually_exclusive_group()
    change.add_argument("--factor", type=float, metavar="K", help="open at K times the normal rate")
    change.add_argument("--on", action="store_true", help="have it watch again")
    change.add_argument("--off", action="store_true", help="never open it; an open one is closed")
    change.add_argument("--close", action="store_true", help="let all machines go on now")


def _breaker(session: Session, args: Namespace) -> None:
    address = ("projects", args.project, "breaker")
    if args.close:
        answer = session.client.post(*address, "close")
    elif args.factor is not None:
        answer = session.client.put(*address, body={"factor": args.factor})
    elif args.on or args.off:
        answer = session.client.put(*address, body={"enabled": bool(args.on)})
    else:
        answer = session.client.get(*address)
    currency = session.client.get("projects", args.project)["currency"] if not session.out.as_json else ""
    session.out.show(answer, lambda own: session.out.fields(_fields(own, currency)))


def _fields(own: Json, currency: str) -> list[tuple[str, object]]:
    def per_minute(micros: int | None) -> str:
        return "" if micros is None else f"{formats.quantity(micros, 'money', currency)} a minute"

    return [
        ("state", own["state"].replace("_", " ") if own["enabled"] else "switched off"),
        ("why", own["sentence"]),
        ("until", formats.when_next(own["until"]) if own["until"] else ""),
        ("spends", per_minute(own["rate"])),
        ("normal", per_minute(own["normal"]) or "too little history to say"),
        ("opens above", per_minute(own["most"]) or "nothing"),
        ("factor", f"{own['factor']:g}"),
    ]
