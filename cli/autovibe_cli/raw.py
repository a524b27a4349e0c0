"""`api`: any request to the API, for what has no command, and to try things out."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentTypeError, Namespace
from typing import Any

from autovibe_cli.errors import Usage
from autovibe_cli.grammar import Commands, Session

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def add(commands: Commands) -> None:
    command = commands.verb(
        "api",
        _api,
        "Any request to the API; what it answers is printed.",
        examples=[
            "api GET machines/m12/",
            "api GET machines/ -f state=running -f page_size=5",
            'api POST machines/m12/checkpoint/ -f why="Before lunch"',
            "api PUT machines/m12/budgets/ -f resource=calls -f limit:=50",
            "api POST machines/ --input machine.json --header 'Idempotency-Key: nightly-7'",
        ],
    )
    command.add_argument("method", choices=METHODS, metavar="METHOD", type=str.upper)
    command.add_argument("path", metavar="PATH", help="below /api/v1/, or from the root: /healthz")
    command.add_argument(
        "-f",
        "--field",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        dest="fields",
        type=_field,
        help="of the query of a GET, else of the body; NAME:=VALUE is JSON: a number, true, a list (again for more)",
    )
    command.add_argument("--input", metavar="FILE", help="the body, as JSON; - is standard input")
    command.add_argument(
        "--header", metavar="NAME: VALUE", action="append", default=[], dest="headers", type=_header
    )


def _field(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    if not name.endswith(":"):
        return name, value
    try:
        return name[:-1], json.loads(value)
    except ValueError:
        raise ArgumentTypeError(f"{value!r} is not JSON") from None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not name.strip() or not colon:
        raise ArgumentTypeError(f"{text!r} is not NAME: VALUE")
    return name.strip(), value.strip()


def _api(session: Session, args: Namespace) -> None:
    fields = dict(args.fields)
    reads = args.method in ("GET", "DELETE")
    if args.input and fields and not reads:
        raise Usage("Say the body with --input or field by field, not both.")
    body = _read(args.input) if args.input else None if reads else fields
    content, kind = session.client.raw(
        args.method, args.path, query=fields if reads else {}, body=body, headers=dict(args.headers)
    )
    if "json" not in kind:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    elif content:
        answer = json.loads(content)
        session.out.show(answer, lambda one: session.out.line(json.dumps(one, indent=2, ensure_ascii=False)))


def _read(file: str) -> Any:
    try:
        if file == "-":
            return json.load(sys.stdin)
        with open(file, encoding="utf-8") as opened:
            return json.load(opened)
    except OSError as error:
        raise Usage(f"{file} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise Usage(f"{file} is not JSON: {error}") from None
