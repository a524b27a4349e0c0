"""`bin/dev`: autovibe on this machine, from nothing, with one command."""

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autovibe.embedded import leftovers
from autovibe.embedded.ports import PortTaken
from autovibe.embedded.postgres import PostgresError, stand_in
from autovibe.embedded.programs import ADMIN, PROJECT, ROOT
from autovibe.embedded.stack import Stack
from autovibe.embedded.state import AlreadyRunning, State
from autovibe.embedded.supervisor import SupervisorError

_EPILOG = """\
Everything it keeps is in var/ (or the directory AUTOVIBE_VAR names). The environment decides the rest:
  AUTOVIBE_PORT=8001        another port; AUTOVIBE_NODE_PORT for the embedded node
  DATABASE_URL=postgres://… your PostgreSQL instead of the embedded one
  PROXMOX_URL=https://…     your Proxmox VE instead of the embedded node, with PROXMOX_TOKEN
  ANTHROPIC_API_KEY=…       a real model instead of the offline one
All variables: docs/configuration.md
"""
_FIRST_COMMAND = (
    f'bin/autovibe spawn --project {PROJECT} --type vibe "Write a fizzbuzz with tests and make them pass"'
)
_FAILURES = (AlreadyRunning, PortTaken, PostgresError, SupervisorError)


def main() -> int:
    """Returns the exit status."""
    arguments = _parser().parse_args()
    state = State(Path(os.environ.get("AUTOVIBE_VAR") or ROOT / "var").absolute())
    try:
        with state.held() as holder:
            if arguments.command == "reset":
                return _reset(state, confirmed=arguments.yes)
            stack = Stack(state, _say)
            holder.tell(stack.ports.web_url)
            return asyncio.run(_serve(stack))
    except _FAILURES as error:
        _say(str(error))
        return 1


async def _serve(stack: Stack) -> int:
    """Run until told to stop. Whatever happens, everything that was started is stopped again."""
    with _asked_to_stop(stack) as asked:
        try:
            return await _up_until(asked, stack)
        finally:
            _say("Stopping …")
            await stack.down()


async def _up_until(asked: asyncio.Event, stack: Stack) -> int:
    coming_up = asyncio.create_task(stack.up())
    waiting = asyncio.create_task(asked.wait())
    await asyncio.wait({coming_up, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not coming_up.done():
        coming_up.cancel()
        await asyncio.wait({coming_up})
        return 1
    try:
        coming_up.result()
    except _FAILURES as error:
        _say(str(error))
        return 1
    _say(_welcome(stack))
    await waiting
    return 0


@contextmanager
def _asked_to_stop(stack: Stack) -> Iterator[asyncio.Event]:
    """An event that Ctrl-C, SIGTERM or the terminal's end sets. A second time means: do not wait any more."""
    asked, loop = asyncio.Event(), asyncio.get_running_loop()

    def ask() -> None:
        if asked.is_set():
            stack.supervisor.hurry()
        asked.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup means it
            loop.add_signal_handler(number, ask)
    yield asked


def _welcome(stack: Stack) -> str:
    providers = {"ANTHROPIC_API_KEY": "Anthropic's", "OPENAI_API_KEY": "OpenAI's"}
    real = [who for name, who in providers.items() if os.environ.get(name) or os.environ.get(f"{name}_FILE")]
    models = " and ".join(real) or "the offline model, unless there are upstreams: bin/autovibe upstream list"
    return f"""
autovibe is up: {stack.ports.web_url}

  Sign in    {ADMIN} / {stack.state.secrets().admin_password}
  Try        {_FIRST_COMMAND}
  Models     {models}
  Logs       {stack.state.logs}
  Stop       Ctrl-C
"""


def _reset(state: State, *, confirmed: bool) -> int:
    """Delete the state directory: database, guests, secrets."""
    if not confirmed:
        _say(f"This deletes {state.root}: the database, all guests and checkpoints, and the secrets.")
        print("Go on? [y/N] ", end="", flush=True)
        confirmed = sys.stdin.readline().strip().lower() in {"y", "yes"}
    if not confirmed:
        _say("Nothing was deleted.")
        return 1
    leftovers.end(state.run)
    for directory in (state.root, stand_in(state.postgres)):
        shutil.rmtree(directory, ignore_errors=True)
    _say("Deleted. bin/dev starts from nothing.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/dev",
        usage="bin/dev [--help]\n       bin/dev reset [--yes]",
        description="Run autovibe on this machine: database, a node for guests, web, worker and hub.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", title="commands", metavar="")
    reset = commands.add_parser(
        "reset", help="delete everything that bin/dev has kept, and start from nothing"
    )
    reset.add_argument("--yes", action="store_true", help="do not ask")
    return parser


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone
        print(sentence, flush=True)


if __name__ == "__main__":
    sys.exit(main())
