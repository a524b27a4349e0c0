"""`spawn` and `branch`: a prompt, file modifications and limits become a machine."""

from __future__ import annotations

import base64
import os
import uuid
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any

from autovibe_cli import formats, policies, predicting, prompts
from autovibe_cli.errors import Usage
from autovibe_cli.grammar import Commands, Session
from autovibe_cli.watch import watch

FILE_BYTES_MAX = 10 * 1024**2
FILES_BYTES_MAX = 32 * 1024**2


def add(commands: Commands) -> None:
    spawn = commands.verb(
        "spawn",
        _spawn,
        "Run an agent on a prompt in a new machine.",
        examples=[
            'spawn --project demo --type vibe --watch "Write a fizzbuzz with tests and make them pass"',
            'spawn --project demo --type vibe --file notes.md:docs/notes.md --money 2.50 "Follow docs/notes.md"',
            "spawn --project demo --type vibe - < prompt.txt",
        ],
    )
    spawn.add_argument("--project", required=True, help="the project that it belongs to and that pays")
    spawn.add_argument(
        "--checkpoint", metavar="CHECKPOINT", help="start from that state (default: the project's genesis)"
    )
    _add_options(spawn, type_help="the type of agent; the command “types” lists them", type_required=True)
    spawn.add_argument(
        "prompt", metavar="PROMPT", help="what the agent is to do; - reads it from standard input"
    )
    branch = commands.verb(
        "branch",
        _branch,
        "Go on from a checkpoint in a new machine, with a new prompt or without.",
        examples=[
            'branch m12.c4 --watch "Now do it without the modulo operator"',
            "branch m12.c4 --watch",
        ],
    )
    branch.add_argument("checkpoint", metavar="CHECKPOINT", help="such as m12.c4")
    _add_options(branch, type_help="another type of agent than before", type_required=False)
    branch.add_argument(
        "prompt",
        metavar="PROMPT",
        nargs="?",
        help="what the agent is to do now; without one it goes on with what it was doing; - reads standard input",
    )


def _add_options(parser: ArgumentParser, *, type_help: str, type_required: bool) -> None:
    parser.add_argument("--type", required=type_required, help=type_help)
    parser.add_argument(
        "--file",
        metavar="PATH[:DEST]",
        action="append",
        dest="files",
        default=[],
        type=_written,
        help="put a file into the workspace before the agent starts (again for more)",
    )
    parser.add_argument(
        "--delete",
        metavar="PATH",
        action="append",
        dest="files",
        type=_deleted,
        help="remove a file from the workspace before the agent starts",
    )
    parser.add_argument("--model", default="", help="another model than the type's own")
    parser.add_argument(
        "--network",
        choices=["sealed", "hub", "open"],
        default="",
        help="a stricter network than the type's own",
    )
    policies.add_option(parser)
    _add_limits(parser)
    parser.add_argument(
        "--key", type=_key, help="idempotency key: the same again gives the machine of the first time"
    )
    parser.add_argument(
        "--watch", action="store_true", help="stay until it ended or paused, and show its log"
    )


def _add_limits(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--money", metavar="AMOUNT", type=formats.micros, help="limit for this machine, such as 2.50"
    )
    parser.add_argument("--tokens", metavar="N", type=formats.count, help="limit for this machine")
    parser.add_argument(
        "--calls", metavar="N", type=formats.count, help="limit of model calls for this machine"
    )
    parser.add_argument(
        "--wall", metavar="TIME", type=formats.seconds, help="end it after 90s, 30m, 1h30m, 2d"
    )


def _spawn(session: Session, args: Namespace) -> int:
    body = {**_asked(args), "project": args.project}
    if args.checkpoint:
        body["checkpoint"] = args.checkpoint
    return _begin(session, args, ("machines",), body)


def _branch(session: Session, args: Namespace) -> int:
    return _begin(session, args, ("checkpoints", args.checkpoint, "branch"), _asked(args))


def _begin(session: Session, args: Namespace, segments: tuple[str, ...], body: dict[str, Any]) -> int:
    machine = session.client.post(*segments, body=body, key=args.key or str(uuid.uuid4()))
    if not session.out.as_json:
        policies.tell_not_undone(session, machine.get("not_undone", []))
    if args.watch:
        if not session.out.as_json:
            session.out.line(_introduced(machine), "bold")
            _tell_expected(session, machine)
        return watch(session, machine["handle"])
    session.out.show(machine, lambda made: session.out.line(_introduced(made)))
    if not session.out.as_json:
        _tell_expected(session, machine)
        session.out.notice(f"Watch it: {session.prog} machine watch {machine['handle']}")
    return 0


def _tell_expected(session: Session, machine: dict[str, Any]) -> None:
    if said := predicting.summary(machine["prediction"], machine["currency"]):
        session.out.notice(said)


def _introduced(machine: dict[str, Any]) -> str:
    return f"{machine['handle']} of type {machine['type']}, from {machine['source']}, in project {machine['project']}"


def _asked(args: Namespace) -> dict[str, Any]:
    total = sum(len(one.get("content_base64", "")) * 3 // 4 for one in args.files)
    if total > FILES_BYTES_MAX:
        raise Usage(
            f"The files have {formats.size(total)} together; {formats.size(FILES_BYTES_MAX)} is the most."
        )
    limits = {name: getattr(args, name) for name in ("money", "tokens", "calls")}
    return {
        "prompt": "" if args.prompt is None else prompts.read(args.prompt),
        "files": args.files,
        "model": args.model,
        "limits": {name: limit for name, limit in limits.items() if limit is not None},
        "wall_seconds": args.wall,
        **({"type": args.type} if args.type else {}),
        **({"network": args.network} if args.network else {}),
        **({} if args.checkpoints is None else {"checkpoints": args.checkpoints}),
    }


def _written(argument: str) -> dict[str, Any]:
    """The modification that puts a file there; raises `ArgumentTypeError` when it cannot be sent."""
    path, destination = _split(argument)
    try:
        content = _content(path)
    except OSError as error:
        raise ArgumentTypeError(f"{path}: {error.strerror}") from None
    return {
        "path": _encodable(destination),
        "content_base64": base64.b64encode(content).decode(),
        "mode": "0755" if os.access(path, os.X_OK) else "0644",
    }


def _split(argument: str) -> tuple[Path, str]:
    """`PATH[:DEST]`; without DEST a path below the current directory is kept, and of any other its name."""
    before, colon, after = argument.rpartition(":")
    path, destination = (
        (Path(argument), "") if not colon or Path(argument).exists() else (Path(before), after)
    )
    if destination.endswith("/"):
        return path, destination + path.name
    inside = not path.is_absolute() and ".." not in path.parts
    return path, destination or (path.as_posix() if inside else path.name)


def _content(path: Path) -> bytes:
    if path.is_dir():
        raise ArgumentTypeError(f"{path} is a directory; name each file with its own --file")
    if (length := path.stat().st_size) > FILE_BYTES_MAX:
        raise ArgumentTypeError(
            f"{path} has {formats.size(length)}; {formats.size(FILE_BYTES_MAX)} is the most for a file. "
            "Have the agent fetch it, or put it into the template"
        )
    return path.read_bytes()


def _deleted(argument: str) -> dict[str, Any]:
    return {"path": _encodable(argument), "delete": True}


def _encodable(path: str) -> str:
    try:
        path.encode()
    except UnicodeError:
        raise ArgumentTypeError(f"{path!r} is not valid UTF-8") from None
    return path


def _key(argument: str) -> str:
    if not (argument.isascii() and argument.isprintable() and 1 <= len(argument) <= 100):
        raise ArgumentTypeError("a key has 1 to 100 printable ASCII characters")
    return argument
