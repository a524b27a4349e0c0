"""The program: reads the command line, runs the command, turns failures into sentences and exit codes."""

from __future__ import annotations

import contextlib
import os
import sys
from argparse import ArgumentParser, Namespace

from autovibe_cli import (
    __version__,
    audit,
    breaker,
    budgets,
    calls,
    checkpoints,
    comparing,
    completion,
    events,
    files,
    ledger,
    login,
    machines,
    members,
    message,
    operations,
    pools,
    predicting,
    prices,
    projects,
    proxmox,
    raw,
    receipt,
    requests,
    server,
    spawning,
    tokens,
    transfers,
    tree,
    upstreams,
    usage,
)
from autovibe_cli.errors import Failure
from autovibe_cli.grammar import Commands, Session, program
from autovibe_cli.output import Output
from autovibe_cli.watch import INTERRUPTED


def main(prog: str = "autovibe") -> int:
    """Run one command line; returns the exit code. `prog` is how the user calls it, for hints."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        return _run(prog, build(prog))
    except Failure as failure:
        Output(as_json=False).notice(f"{prog}: {failure}", "red")
        return failure.exit_code
    except BrokenPipeError:  # whoever read our output has enough
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED


def build(prog: str) -> ArgumentParser:
    """The whole grammar."""
    parser = program(prog, __version__)
    commands = Commands(parser, prog)
    for noun in (
        spawning,
        predicting,
        machines,
        message,
        receipt,
        calls,
        usage,
        checkpoints,
        tree,
        files,
        comparing,
        projects,
        members,
        budgets,
        breaker,
        ledger,
        transfers,
        requests,
        pools,
        prices,
        proxmox,
        upstreams,
        operations,
        events,
        audit,
        login,
        tokens,
        server,
        raw,
    ):
        noun.add(commands)
    completion.add(commands)
    commands.verb("version", _version, "Print the version of this program.", examples=["version"])
    return parser


def _run(prog: str, parser: ArgumentParser) -> int:
    if sys.argv[1:2] == [completion.REQUEST]:
        completion.answer(parser, Session(Output(as_json=False), prog, None), sys.argv[2:])
        return 0
    args = parser.parse_args()
    if "run" not in args:
        args.help_of.print_help()
        return 0
    session = Session(Output(as_json=bool(args.json), field=args.get), prog, args.profile)
    return args.run(session, args) or 0


def _version(session: Session, args: Namespace) -> None:
    session.out.show({"version": __version__}, lambda own: session.out.line(f"autovibe {own['version']}"))


if __name__ == "__main__":
    sys.exit(main())
