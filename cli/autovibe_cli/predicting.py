"""`predict`: what a machine will probably use, before it is spawned; and the same in one line for other commands."""

from __future__ import annotations

from argparse import Namespace

from autovibe_cli import formats, prompts
from autovibe_cli.client import Json
from autovibe_cli.grammar import Commands, Session

NAMES = {"cost_micros": "cost", "tokens": "tokens", "calls": "calls", "seconds": "time"}


def add(commands: Commands) -> None:
    predict = commands.verb(
        "predict",
        _predict,
        "What a machine with that prompt will probably cost.",
        examples=[
            'predict demo --type vibe "Write a fizzbuzz with tests"',
            "predict demo --type aider - < prompt.txt",
        ],
    )
    predict.add_argument("project", metavar="PROJECT")
    predict.add_argument(
        "prompt", metavar="PROMPT", help="what the agent is to do; - reads it from standard input"
    )
    predict.add_argument("--type", required=True, help="the type of agent; the command “types” lists them")
    predict.add_argument("--model", default="", help="another model than the type's own")


def summary(prediction: Json | None, currency: str) -> str:
    """`Expected: cost 0.45 to 0.58 USD, time 5m 36s to 13m 59s (from 8 past machines).`; empty where nothing is."""
    if not prediction or not prediction["ranges"]:
        return ""
    parts = (
        f"{NAMES[name]} {_shown(found['low'], name, '').strip()} to {_shown(found['high'], name, currency)}"
        for name, found in prediction["ranges"].items()
        if name in ("cost_micros", "seconds")
    )
    return f"Expected: {', '.join(parts)} (from {prediction['neighbours']} past machines)."


def _shown(amount: int, name: str, currency: str) -> str:
    if name == "cost_micros":
        return formats.money(round(amount, -4) or amount, currency)
    return formats.duration(amount) if name == "seconds" else f"{amount:,}"


def _predict(session: Session, args: Namespace) -> None:
    asked = {
        "project": args.project,
        "prompt": prompts.read(args.prompt),
        "type": args.type,
        "model": args.model,
    }
    session.out.show(
        session.client.post("machines", "predict", body=asked), lambda said: _tell(session, args, said)
    )


def _tell(session: Session, args: Namespace, said: Json) -> None:
    if not said["ranges"]:
        session.out.line(said["sentence"])
        return
    rows = [
        (NAMES[name], *(_shown(found[part], name, said["currency"]) for part in ("low", "middle", "high")))
        for name, found in said["ranges"].items()
    ]
    session.out.table(["", "LOW", "MOST LIKELY", "HIGH"], rows)
    session.out.line(
        f"From {said['neighbours']} past machines; eight of ten should stay between low and high."
    )
    if known := said["calibration"]["n"]:
        held = said["calibration"]["inside"]["cost_micros"]
        session.out.line(f"Of {known} that were predicted in {args.project} so far, the cost of {held} did.")
    if said["suggested_micros"]:
        limit = formats.money(said["suggested_micros"], "").strip()
        session.out.line(f"A limit that will probably do: --money {limit}")
