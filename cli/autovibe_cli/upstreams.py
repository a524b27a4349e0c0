"""Commands on upstreams, the servers that answer model calls. For staff."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from getpass import getpass

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.errors import Usage
from autovibe_cli.grammar import Commands, Session

DIALECTS = ("messages", "chat", "responses")


def add(commands: Commands) -> None:
    upstream = commands.noun(
        "upstream", "The servers that answer model calls: list, add, try them. For staff."
    )
    upstream.verb("list", _list, "The upstreams and their keys.", examples=["upstream list"])
    one = upstream.verb("show", _show, "One upstream and its keys.", examples=["upstream show gpu"])
    one.add_argument("name", metavar="NAME")
    changed = upstream.verb(
        "set",
        _change,
        "Change an upstream. What is not said stays as it is.",
        examples=[
            "upstream set gpu --priority 5",
            "upstream set gpu --off",
            "upstream set gpu --model 'qwen3:*'",
        ],
    )
    changed.add_argument("name", metavar="NAME")
    changed.add_argument("--url", dest="base_url", metavar="URL", help="without /v1")
    changed.add_argument("--model", action="append", dest="models", metavar="PATTERN", help="may be repeated")
    changed.add_argument("--priority", type=int, metavar="N", help="lower ones are tried first")
    changed.add_argument("--weight", type=int, metavar="N", help="its share among those of its priority")
    switch = changed.add_mutually_exclusive_group()
    switch.add_argument("--on", action="store_const", const=True, dest="enabled", help="ask it again")
    switch.add_argument("--off", action="store_const", const=False, dest="enabled", help="ask it no more")
    new = upstream.verb(
        "add",
        _add,
        "Add an upstream, with a first key unless it is free.",
        examples=[
            "upstream add anthropic https://api.anthropic.com --dialect messages --model 'claude-*' --key team",
            "upstream add gpu http://10.0.0.5:11434 --dialect chat --model qwen3:8b --free",
        ],
    )
    new.add_argument("name", metavar="NAME")
    new.add_argument("url", metavar="URL", help="without /v1, such as https://api.example.com")
    new.add_argument("--dialect", action="append", choices=DIALECTS, required=True, help="may be repeated")
    new.add_argument("--model", action="append", metavar="PATTERN", help="which models; may be repeated")
    new.add_argument("--priority", type=int, metavar="N", help="lower ones are tried first; 10")
    new.add_argument("--weight", type=int, metavar="N", help="its share among those of its priority; 100")
    new.add_argument("--free", action="store_true", default=None, help="a server of your own: costs no money")
    new.add_argument("--key", metavar="LABEL", help="read a key, and keep it under this name")
    _add_key_options(new)
    key = upstream.verb(
        "key",
        _key,
        "Add a key, or replace its secret, which is read from the terminal or from standard input.",
        examples=["upstream key anthropic team", "upstream key anthropic team --requests-per-minute 50"],
    )
    key.add_argument("name", metavar="NAME")
    key.add_argument("label", metavar="LABEL")
    key.add_argument("--keep", action="store_true", help="leave the secret as it is, and set the limits")
    _add_key_options(key)
    remove = upstream.verb(
        "remove",
        _remove,
        "Remove an upstream with its keys, or one key.",
        examples=["upstream remove gpu", "upstream remove anthropic --key team"],
    )
    remove.add_argument("name", metavar="NAME")
    remove.add_argument("--key", metavar="LABEL")
    trial = upstream.verb(
        "test",
        _test,
        "Make the smallest call with each of its keys. What that costs is on no budget.",
        examples=["upstream test anthropic", "upstream test gpu --model qwen3:8b"],
    )
    trial.add_argument("name", metavar="NAME")
    trial.add_argument("--model", metavar="MODEL", default="", help="not the cheapest one, but this")


def _list(session: Session, args: Namespace) -> None:
    session.out.show(session.client.get("upstreams"), lambda answer: _render(session, answer))


def _show(session: Session, args: Namespace) -> None:
    session.out.show(
        session.client.get("upstreams", args.name), lambda one: _render(session, {"results": [one]})
    )


def _change(session: Session, args: Namespace) -> None:
    names = ("base_url", "models", "priority", "weight", "enabled")
    said = {name: value for name in names if (value := getattr(args, name)) is not None}
    if not said:
        raise Usage("Say what to change: --url, --model, --priority, --weight, --on or --off.")
    changed = session.client.patch("upstreams", args.name, body=said)
    session.out.show(changed, lambda one: _render(session, {"results": [one]}))


def _render(session: Session, answer: Json) -> None:
    session.out.table(
        ["UPSTREAM", "PRIORITY", "WEIGHT", "SPEAKS", "MODELS", "KEYS", "ADDRESS"],
        [
            (
                one["name"] if one["enabled"] else f"{one['name']} (off)",
                one["priority"],
                one["weight"],
                ",".join(one["dialects"]),
                ",".join(one["models"]) + (" free" if one["free"] else ""),
                ", ".join(f"{key['name']}: {key['state']}" for key in one["keys"]) or "-",
                one["base_url"],
            )
            for one in answer["results"]
        ],
    )
    for one in answer["results"]:
        for key in one["keys"]:
            if key["last_error"]:
                session.out.notice(f"{one['name']} {key['name']}: {key['last_error']}", "yellow")
    if not answer["results"]:
        session.out.notice("None, so the offline model answers every call.")


def _add(session: Session, args: Namespace) -> None:
    if not args.key and not args.free:
        raise Usage("--key is missing: only a free upstream answers without one.")
    secret = _secret(args.name, args.key) if args.key else ""
    optional = {
        "models": args.model,
        "priority": args.priority,
        "weight": args.weight,
        "free": args.free,
    }
    body = {
        "name": args.name,
        "base_url": args.url,
        "dialects": args.dialect,
        **{name: value for name, value in optional.items() if value is not None},
    }
    made = session.client.post("upstreams", body=body)
    if args.key:
        made = session.client.put("upstreams", args.name, "keys", args.key, body=_key_body(args, secret))
    session.out.show(made, lambda one: session.out.line(f"Upstream {one['name']} is there."))
    if not session.out.as_json:
        session.out.notice(f"Try it: {session.prog} upstream test {args.name}")


def _key(session: Session, args: Namespace) -> None:
    secret = "" if args.keep else _secret(args.name, args.label)
    made = session.client.put("upstreams", args.name, "keys", args.label, body=_key_body(args, secret))
    session.out.show(made, lambda one: session.out.line(f"Key {args.label} of {one['name']} is set."))


def _remove(session: Session, args: Namespace) -> None:
    key = ("keys", args.key) if args.key else ()
    session.client.delete("upstreams", args.name, *key)
    session.out.notice(f"Removed {args.name} {args.key or ''}".rstrip() + ".")


def _test(session: Session, args: Namespace) -> int:
    answer = session.client.post("upstreams", args.name, "test", body={"model": args.model})

    def render(_: Json) -> None:
        for report in answer["results"]:
            session.out.line(
                f"{report['key'] or args.name}: {report['sentence']}", "" if report["answered"] else "red"
            )
            if report["answered"]:
                session.out.line(f"  {_bill(report)}", "dim")

    session.out.show(answer, render)
    return 0 if all(report["answered"] for report in answer["results"]) else 1


def _bill(report: Json) -> str:
    tokens = f"{report['input_tokens']} tokens read, {report['output_tokens']} written"
    if report["cost_micros"] is None:
        return f"{tokens}; the price of {report['model']} is not known"
    return f"{tokens}; it cost {formats.money(report['cost_micros'], 'USD')}, on no budget"


def _add_key_options(parser: ArgumentParser) -> None:
    for name, what in (("requests", "calls"), ("tokens", "tokens")):
        parser.add_argument(
            f"--{name}-per-minute",
            type=int,
            metavar="N",
            help=f"no more {what} than that, in each web process",
        )
    parser.add_argument("--key-weight", type=int, metavar="N", help="its share among the keys; 100")


def _key_body(args: Namespace, secret: str) -> Json:
    given = {
        "secret": secret or None,
        "weight": args.key_weight,
        "requests_per_minute": args.requests_per_minute,
        "tokens_per_minute": args.tokens_per_minute,
    }
    return {name: value for name, value in given.items() if value is not None}


def _secret(name: str, label: str) -> str:
    """From the terminal without showing it, or from standard input."""
    asking = f"Key {label} for {name}: "
    secret = getpass(asking) if sys.stdin.isatty() else sys.stdin.readline()
    if not secret.strip():
        raise Usage("There is no key. It is read from the terminal, or from standard input.")
    return secret.strip()
