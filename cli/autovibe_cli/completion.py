"""`completion`: what a shell needs to complete commands and options. Drawn from the parsers themselves."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Iterator

from autovibe_cli.grammar import Commands, Session

_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"
_SCRIPT = """\
_autovibe() {{
    local path="" word words=""
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$word" in -*) ;; *) path="$path$word " ;; esac
    done
    case "$path" in
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _autovibe autovibe
"""


def add(commands: Commands, parser: ArgumentParser) -> None:
    """Add the command; `parser` is the whole program's."""

    def run(session: Session, args: Namespace) -> None:
        print(script(parser, args.shell), end="")

    completion = commands.verb(
        "completion", run, "Print a completion script.", examples=["completion bash > ~/.autovibe.bash"]
    )
    completion.add_argument("shell", choices=["bash", "zsh"])


def script(parser: ArgumentParser, shell: str) -> str:
    """The completion script for bash or zsh."""
    cases = [f'        {pattern}) words="{words}" ;;' for pattern, words in _cases(parser, "")]
    return (_ZSH if shell == "zsh" else "") + _SCRIPT.format(cases="\n".join(cases))


def commands(parser: ArgumentParser) -> Iterator[tuple[str, ArgumentParser]]:
    """Every command with its words ("machine show") and its parser; nouns and aliases are left out."""
    for name, child in _children(parser).items():
        if _children(child):
            yield from ((f"{name} {rest}", found) for rest, found in commands(child))
        elif child.prog.endswith(f" {name}"):
            yield name, child


def _cases(parser: ArgumentParser, path: str) -> Iterator[tuple[str, str]]:
    """Shell patterns of what was typed, with the words that may follow. Deeper ones first: the first match counts."""
    children = _children(parser)
    for name, child in children.items():
        yield from _cases(child, f"{path}{name} ")
    options = [option for action in parser._actions for option in action.option_strings if option[:2] == "--"]
    choices = [str(choice) for action in parser._actions if not children for choice in action.choices or ()]
    yield (f'"{path}"' if children else f'"{path}"*'), " ".join([*children, *choices, *options])


def _children(parser: ArgumentParser) -> dict[str, ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            return dict(action.choices)
    return {}
