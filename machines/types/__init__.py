"""Machine types: how an agent is installed, started and resumed in a guest, and what it is good at.

A type is a TOML file, checked strictly when it is loaded: those beside this module, and those in
`settings.MACHINE_TYPES_DIR`, which may replace one of ours by its name. Every key: docs/machine-types.md.
"""

import builtins
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings

from checkpoints.triggers import policy
from checkpoints.triggers.policy import InvalidPolicy, Policy
from guests.profiles import Profile
from machines import guest

# {prompt_file} is filled in by the guest's runner: only the guest knows where its prompt lies.
PLACEHOLDERS = ("gateway", "token", "model", "prompt_file")


class UnknownType(LookupError):
    """There is no machine type of that name; the message lists those there are."""


class InvalidType(ValueError):
    """A type's file is wrong; the message names the file, the key and what is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineType:
    """One way of running an agent. Commands and the check are scripts for /bin/sh, started in /workspace."""

    name: str
    title: str
    summary: str
    good_at: tuple[str, ...]
    command: str
    resume_command: str = ""  # empty: a machine of this type cannot go on, only start anew
    install_check: str = ""
    probe: str = ""  # a script that succeeds in a guest where its agent could be started; it has no network
    environment: Mapping[str, str] = field(default_factory=dict)
    default_model: str = ""  # empty: asks no model
    transcripts: tuple[str, ...] = ()
    checkpoints: Policy = policy.EVERY_CALL
    programs: tuple[str, ...] = ()
    network: str = Profile.OPEN

    def environment_for(self, *, gateway: str, token: str, model: str) -> dict[str, str]:
        """The agent's environment with its placeholders filled in, but for {prompt_file}."""
        values = {"gateway": gateway, "token": token, "model": model, "prompt_file": "{prompt_file}"}
        return {
            key: re.sub(r"\{(\w+)\}", lambda found: values[found[1]], template)
            for key, template in self.environment.items()
        }

    @property
    def converses(self) -> bool:
        """Whether its agent can be told more in the same conversation: it can go on, and keeps a history."""
        return bool(self.resume_command and self.transcripts)

    @property
    def network_here(self) -> str:
        """The network profile of its machines: the installation's, where it has one, goes before the type's."""
        return settings.MACHINE_NETWORK or self.network


def get(name: str) -> MachineType:
    """The type of that name; raises UnknownType."""
    known = _load(settings.MACHINE_TYPES_DIR)
    if name not in known:
        raise UnknownType(f"There is no machine type {name!r}; there are {', '.join(sorted(known))}.")
    return known[name]


def converses(name: str) -> bool:
    """Whether agents of that type can be told more; not those of one that was taken out of the installation."""
    kind = _load(settings.MACHINE_TYPES_DIR).get(name)
    return kind is not None and kind.converses


def all() -> list[MachineType]:
    """Every type, by name."""
    return [kind for _, kind in sorted(_load(settings.MACHINE_TYPES_DIR).items())]


@cache
def _load(extra: str | None) -> dict[str, MachineType]:
    directories = [Path(__file__).parent, *([Path(extra)] if extra else [])]
    found: dict[str, MachineType] = {}
    for directory in directories:
        if not directory.is_dir():
            raise InvalidType(f"MACHINE_TYPES_DIR is {directory}, which is not a directory.")
        found |= {path.stem: parse(path) for path in sorted(directory.glob("*.toml"))}
    return found


def parse(path: Path) -> MachineType:
    """The type in a file; raises InvalidType with everything a person needs to put it right."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        _check(values, name=path.stem)
        taken = policy.parse(values.pop("checkpoints", "every_call"))
    except InvalidPolicy as error:
        raise InvalidType(f"{path.name}: checkpoints: {error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, InvalidType) as error:
        raise InvalidType(f"{path.name}: {error}") from None
    frozen: dict[str, Any] = {
        key: tuple(one) if isinstance(one, list) else one for key, one in values.items()
    }
    return MachineType(checkpoints=taken, **frozen)


def _check(values: dict[str, Any], *, name: str) -> None:
    known = {one.name: one for one in fields(MachineType)}
    required = {
        key for key, one in known.items() if one.default is MISSING and one.default_factory is MISSING
    }
    if unknown := sorted(values.keys() - known.keys()):
        raise InvalidType(f"the key {unknown[0]!r} is not known; known are {', '.join(known)}.")
    if missing := sorted(required - values.keys()):
        raise InvalidType(f"the key {missing[0]!r} is missing.")
    for key, value in values.items():
        shape, expected = _SHAPES.get(key, _TEXT)
        if not shape(value):
            raise InvalidType(f"{key} is {value!r}; expected {expected}.")
    if values["name"] != name:
        raise InvalidType(f"name is {values['name']!r}; expected {name!r}, as the file is called.")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[a-z][a-z0-9-]{0,39}", value))


def _is_list(value: Any, allowed: Callable[[str], bool]) -> bool:
    return isinstance(value, list) and builtins.all(isinstance(one, str) and allowed(one) for one in value)


def _is_environment(value: Any) -> bool:
    return isinstance(value, dict) and builtins.all(
        re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key) and isinstance(one, str) and _is_template(one)
        for key, one in value.items()
    )


def _is_template(value: str) -> bool:
    rest = re.sub(r"\{(" + "|".join(PLACEHOLDERS) + r")\}", "", value)
    return "{" not in rest and "}" not in rest and "\0" not in rest


def _is_guest_path(value: str) -> bool:
    return value.startswith("/") and ".." not in value.split("/")


_Shape = tuple[Callable[[Any], bool], str]
_TEXT: _Shape = (lambda value: isinstance(value, str) and "\0" not in value, "text")
_FILLED: _Shape = (lambda value: isinstance(value, str) and bool(value.strip()), "text that is not empty")
_SHAPES: dict[str, _Shape] = {
    "name": (_is_name, "lower-case letters, digits and hyphens"),
    "title": _FILLED,
    "summary": _FILLED,
    "command": _FILLED,
    "good_at": (lambda value: _is_list(value, bool), "a list of texts"),
    "environment": (
        _is_environment,
        "a table of names and texts with no braces but " + ", ".join(f"{{{one}}}" for one in PLACEHOLDERS),
    ),
    "transcripts": (lambda value: _is_list(value, _is_guest_path), "a list of absolute paths in the guest"),
    "checkpoints": (lambda value: isinstance(value, (str, dict)), "every_call or none, or a table"),
    "network": (lambda value: value in Profile.values, " or ".join(Profile.values)),
    "programs": (
        lambda value: _is_list(value, guest.NAMES.__contains__),
        f"a list out of {', '.join(sorted(guest.NAMES))}",
    ),
}
