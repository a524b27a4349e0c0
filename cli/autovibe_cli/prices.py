"""Commands on the price book: what models cost here, over the list's prices. Writing is for staff."""

from __future__ import annotations

from argparse import Namespace

from autovibe_cli import rerating
from autovibe_cli.client import Json
from autovibe_cli.grammar import Commands, Session

RATES = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "web_search")
_SOURCES = {
    "book": "the price book",
    "settings": "the settings",
    "list": "the list",
    "invented": "invented, for the offline model",
    "ceiling": "the ceiling for models that nobody priced",
}


def add(commands: Commands) -> None:
    price = commands.noun("price", "What models cost: list, show, set. Setting is for staff.")
    price.verb("list", _list, "What was entered over the list's prices.", examples=["price list"])
    show = price.verb(
        "show", _show, "What a model costs now, and where that comes from.", examples=["price show gpt-4o"]
    )
    put = price.verb(
        "set",
        _set,
        "From now on a model costs this, per million tokens. What is left out costs as much as what it is a kind of.",
        examples=[
            "price set house-model --input 3 --output 15",
            "price set gpt-4o --input 2 --cache-read 1 --output 8 --note contract",
        ],
    )
    for name in RATES:
        needed = name in ("input", "output")
        put.add_argument(f"--{name.replace('_', '-')}", metavar="PRICE", required=needed, dest=name)
    put.add_argument("--note", default="", help="why")
    withdraw = price.verb(
        "withdraw", _withdraw, "The list's price counts again.", examples=["price withdraw gpt-4o"]
    )
    for parser in (show, put, withdraw):
        parser.add_argument("model", metavar="MODEL")
    rerating.add(price)


def _list(session: Session, args: Namespace) -> None:
    def render(answer: Json) -> None:
        rows = [
            (
                one["model"],
                *(one["prices"].get(name, "-") for name in RATES),
                one["actor"],
                one["note"],
            )
            for one in answer["results"]
        ]
        session.out.table(["MODEL", *_headings(), "BY", "NOTE"], rows)
        session.out.notice(f"{answer['currency']} per million tokens, over {answer['version']}.")

    session.out.show(session.client.get("prices"), render)


def _show(session: Session, args: Namespace) -> None:
    _print(session, session.client.get("prices", args.model))


def _set(session: Session, args: Namespace) -> None:
    rates = {name: getattr(args, name) for name in RATES if getattr(args, name) is not None}
    _print(session, session.client.post("prices", body={"model": args.model, **rates, "note": args.note}))


def _withdraw(session: Session, args: Namespace) -> None:
    session.client.delete("prices", args.model)
    session.out.notice(f"The price book says nothing of {args.model} any more.")


def _print(session: Session, price: Json) -> None:
    def render(one: Json) -> None:
        session.out.table(
            ["PROMPTS ABOVE", *_headings()],
            [
                (f"{tier['above_tokens']:,} tokens", *(tier["rates"][name] for name in RATES))
                for tier in one["tiers"]
            ],
        )
        session.out.notice(
            f"{one['currency']} per million tokens, from {_SOURCES[one['source']]} ({one['version']})."
        )

    session.out.show(price, render)


def _headings() -> list[str]:
    return [name.replace("_", " ").upper() for name in RATES]
