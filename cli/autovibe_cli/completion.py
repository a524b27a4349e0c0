"""`completion`: scripts for shells, which ask this program what can follow. Its parsers know, or the server does."""

from __future__ import annotations

from argparse import Action, ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Iterable, Iterator, Sequence

from autovibe_cli import names
from autovibe_cli.grammar import Commands, Session

# Answered before anything else is parsed: what follows are words as they are typed.
REQUEST = "__complete"
SCRIPTS = {
    "bash": """\
_autovibe() {
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null |
        cut -f1)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _autovibe autovibe bin/autovibe
""",
    "zsh": """\
_autovibe() {
    local -a found
    found=(${(f)"$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( ${#found} )); then
        found=(${found//:/\\:})
        found=(${found/$'\t'/:})
        _describe autovibe found
    else
        _files
    fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _autovibe autovibe
""",
    "fish": """\
function __autovibe_complete
    set -l typed (commandline -opc) (commandline -ct)
    set -l found ($typed[1] __complete $typed[2..-1] 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c autovibe -f -a '(__autovibe_complete)'
""",
}


def add(commands: Commands) -> None:
    completion = commands.verb(
        "completion",
        _print,
        "Print a completion script, which completes commands, options, and names from the server.",
        examples=[
            "completion bash > ~/.local/share/bash-completion/completions/autovibe",
            "completion zsh > ~/.zfunc/_autovibe",
            "completion fish > ~/.config/fish/completions/autovibe.fish",
        ],
    )
    completion.add_argument("shell", choices=list(SCRIPTS))


def _print(session: Session, args: Namespace) -> None:
    print(SCRIPTS[args.shell], end="")


def answer(parser: ArgumentParser, session: Session, typed: Sequence[str]) -> None:
    """Print what can follow the words typed, of which the last is being typed: a value, a tab, what it is."""
    *before, current = typed or [""]
    for value, meaning in _candidates(parser, session, before, current):
        if value.startswith(current):
            print(f"{value}\t{meaning}" if meaning else value)


def commands(parser: ArgumentParser) -> Iterator[tuple[str, ArgumentParser]]:
    """Every command with its words ("machine show") and its parser; nouns and aliases are left out."""
    for name, child in _children(parser).items():
        if _children(child):
            yield from ((f"{name} {rest}", found) for rest, found in commands(child))
        elif child.prog.endswith(f" {name}"):
            yield name, child


def _candidates(
    parser: ArgumentParser, session: Session, before: Sequence[str], current: str
) -> Iterable[tuple[str, str]]:
    place = _Place(parser)
    for word in before:
        place.take(word)
    if place.waiting is None and current.startswith("-"):
        return place.options()
    if place.waiting is None and (children := _children(place.parser)):
        return [(name, _summary(place.parser, name)) for name in children]
    action = place.waiting or place.positional()
    if action is None:
        return []
    if action.choices:
        return [(str(choice), "") for choice in action.choices]
    kind = str(action.metavar or action.dest).upper()
    return names.of_kind(session, kind, current, project=place.given.get("project"))


class _Place:
    """Where in the grammar the words that were typed lead."""

    def __init__(self, parser: ArgumentParser) -> None:
        self.parser = parser
        self.waiting: Action | None = None  # an option that wants its value next
        self.given: dict[str, str] = {}
        self._passed = 0

    def take(self, word: str) -> None:
        """The next word, whole."""
        if self.waiting is not None:
            self.given[self.waiting.dest] = word
            self.waiting = None
        elif word.startswith("-") and word != "-":
            self._take_option(word)
        elif child := _children(self.parser).get(word):
            self.parser, self._passed = child, 0
        else:
            if action := self.positional():
                self.given[action.dest] = word
            self._passed += 1

    def _take_option(self, word: str) -> None:
        action = self.parser._option_string_actions.get(word)
        if action is not None and action.nargs != 0:
            self.waiting = action

    def positional(self) -> Action | None:
        """The argument that the next word is."""
        wanted = [action for action in self.parser._actions if not action.option_strings]
        return wanted[self._passed] if self._passed < len(wanted) else None

    def options(self) -> Iterator[tuple[str, str]]:
        for action in self.parser._actions:
            for option in action.option_strings:
                if option.startswith("--"):
                    yield option, action.help or ""


def _summary(parser: ArgumentParser, name: str) -> str:
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            for choice in action._choices_actions:
                if choice.dest == name:
                    return choice.help or ""
    return ""


def _children(parser: ArgumentParser) -> dict[str, ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            return dict(action.choices)
    return {}
