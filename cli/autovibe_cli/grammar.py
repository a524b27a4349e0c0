"""How commands are declared: nouns, verbs, their help and examples. Which there are is each noun's own business."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Optional

from autovibe_cli import profiles
from autovibe_cli.client import Client
from autovibe_cli.output import Output

if TYPE_CHECKING:
    from argparse import _SubParsersAction

SUMMARY = "Run AI coding agents in machines, under budgets, with checkpoints to return to and branch from."
_EXAMPLES = (
    'spawn --project demo --type vibe --watch "Write a fizzbuzz with tests and make them pass"',
    "machines --state running,paused",
    "logs -f m12",
    "diff m12.c1 m12.c4",
    'branch m12.c4 --watch "Now do it without the modulo operator"',
)


class Session:
    """What a command works with; the server is looked for when it is first needed."""

    def __init__(self, out: Output, prog: str, profile: str | None) -> None:
        self.out = out
        self.prog = prog
        self._profile = profile

    @cached_property
    def client(self) -> Client:
        return Client(profiles.find(self._profile, self.prog), self.out.notice)

    def impatient_client(self, seconds: float) -> Client:
        """One that gives up soon."""
        return Client(profiles.find(self._profile, self.prog), self.out.notice, timeout=seconds)


Run = Callable[[Session, Namespace], Optional[int]]


class Parser(ArgumentParser):
    """Takes options between arguments, also before one that may be left out: `branch m12.c4 --watch "Go on"`."""

    _intermixing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self._intermixing or self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        self._intermixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._intermixing = False


class Commands:
    """The commands of the program, or of one noun."""

    def __init__(self, parser: ArgumentParser, prog: str) -> None:
        self._prog = prog
        self._parsers: _SubParsersAction[ArgumentParser] = parser.add_subparsers(
            metavar="COMMAND", title="commands", prog=parser.prog
        )

    def verb(
        self, name: str, run: Run, summary: str, *, examples: Sequence[str] = (), aliases: Sequence[str] = ()
    ) -> ArgumentParser:
        """A command; `run` gets the session and the arguments, and returns an exit code or None for success."""
        parser = self._parser(name, summary, examples, aliases)
        parser.set_defaults(run=run)
        return parser

    def noun(self, name: str, summary: str) -> Commands:
        """A word with commands of its own; alone it prints its help."""
        parser = self._parser(name, summary, (), ())
        parser.set_defaults(help_of=parser)
        return Commands(parser, self._prog)

    def _parser(
        self, name: str, summary: str, examples: Sequence[str], aliases: Sequence[str]
    ) -> ArgumentParser:
        parser = self._parsers.add_parser(
            name,
            aliases=aliases,
            help=summary[0].lower() + summary[1:].rstrip("."),
            description=summary,
            epilog=_examples(self._prog, examples),
            formatter_class=RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        _add_common(parser, default=SUPPRESS)
        return parser


def program(prog: str, version: str) -> ArgumentParser:
    """The parser of the whole program, without its commands."""
    parser = Parser(
        prog=prog,
        description=SUMMARY,
        epilog=_examples(prog, _EXAMPLES)
        + f"\n\n{prog} COMMAND --help says more. Exit codes: 0 done, 1 refused or "
        "failed,\n2 wrong usage, 3 watched until it paused, 4 the server cannot be reached.",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(help_of=parser)
    parser.add_argument("--version", action="version", version=f"autovibe {version}")
    _add_common(parser, default=None)
    return parser


def _add_common(parser: ArgumentParser, default: Any) -> None:
    parser.add_argument("--json", action="store_true", default=default, help="print the API's JSON")
    parser.add_argument("--get", metavar="FIELD", default=default, help="print one field of it: handle")
    parser.add_argument("--profile", metavar="NAME", default=default, help="the server of that login")


def _examples(prog: str, examples: Sequence[str]) -> str:
    return "examples:\n" + "\n".join(f"  {prog} {example}" for example in examples) if examples else ""
