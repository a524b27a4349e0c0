"""Recipes: what is put into a template, as a TOML file beside the shell scripts that it names.

The scripts are the same for the command and for the Packer sources in deploy/templates.
"""

import hashlib
import re
import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parent / "recipes"
PRELUDE, CLEAN, USER_DATA = "prelude.sh", "clean.sh", "user-data.yaml"


class InvalidRecipe(ValueError):
    """There is no such recipe, or its file is wrong; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Image:
    """A cloud image: where a node fetches it, and what it must be. `sha512` empty: read from the list beside it."""

    url: str
    sha512: str = ""


# Debian 13, the current stable. A dated build: what a recipe gives does not change by itself.
DEBIAN = Image(
    "https://cloud.debian.org/images/cloud/trixie/20261001-2618/debian-13-genericcloud-amd64-20261001-2618.qcow2",
    "f46f0671a6e5bdec5291ab8972bae2f10e5408c2f64a74078f11efc2f06a436a9d0313ed50e0472542eeabf780e9f7c792ac0a314c6c20507fcd9fd81b468c3d",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is in a template: scripts in their order, and the commands that prove it."""

    directory: Path
    name: str
    title: str
    stages: tuple[str, ...]
    verify: tuple[str, ...]
    cores: int = 2
    memory_mib: int = 2048
    disk_gib: int = 16  # its disk, unless the image is larger
    environment: Mapping[str, str] = field(default_factory=dict)

    def script(self, stage: str, environment: Mapping[str, str]) -> str:
        """A stage as it is run: its environment, what all stages have, and its own lines."""
        exported = "".join(
            f"export {name}={shlex.quote(value)}\n"
            for name, value in {**self.environment, **environment}.items()
        )
        return f"set -eu\n{exported}{self._read(PRELUDE)}\n{self._read(f'{stage}.sh')}"

    @property
    def user_data(self) -> str:
        """The cloud-config of the first boot."""
        return self._read(USER_DATA)

    def digest(self, image: Image | None) -> str:
        """What the template will be, in 16 characters: another digest is another template."""
        files = [f"{self.name}.toml", PRELUDE, *(f"{stage}.sh" for stage in self.stages), CLEAN]
        parts = [self._read(name) for name in files]
        parts += [self.user_data, image.url, image.sha512] if image else []
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def _read(self, name: str) -> str:
        """A file of the recipe's directory, or else the one of that name that comes with autovibe."""
        own = self.directory / name
        return (own if own.exists() else DIRECTORY / name).read_text(encoding="utf-8")


def names(directory: Path = DIRECTORY) -> list[str]:
    """The recipes in a directory."""
    return sorted(path.stem for path in directory.glob("*.toml"))


def load(name: str, directory: Path = DIRECTORY) -> Recipe:
    """The recipe of that name. Raises `InvalidRecipe`."""
    path = directory / f"{name}.toml"
    if name not in names(directory):
        known = ", ".join(names(directory)) or "none"
        raise InvalidRecipe(f"There is no recipe {name!r} in {directory}; there are {known}.")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        _check(values, name)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, InvalidRecipe) as error:
        raise InvalidRecipe(f"{path.name}: {error}") from None
    frozen: dict[str, Any] = {
        key: tuple(one) if isinstance(one, list) else one for key, one in values.items()
    }
    recipe = Recipe(directory=directory, **frozen)
    for stage in recipe.stages:
        if not any((place / f"{stage}.sh").exists() for place in (directory, DIRECTORY)):
            raise InvalidRecipe(f"{path.name}: the stage {stage!r} has no {stage}.sh beside it.")
    return recipe


def _check(values: Mapping[str, Any], name: str) -> None:
    known = {one.name for one in fields(Recipe)} - {"directory"}
    if unknown := sorted(values.keys() - known):
        raise InvalidRecipe(f"the key {unknown[0]!r} is not known; known are {', '.join(sorted(known))}.")
    for key, (right, expected) in _SHAPES.items():
        if not right(values.get(key)):
            raise InvalidRecipe(f"{key} is {values.get(key)!r}; expected {expected}.")
    if values["name"] != name:
        raise InvalidRecipe(f"name is {values['name']!r}; expected {name!r}, as the file is called.")


def _is_list(value: Any, pattern: str) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, str) and re.fullmatch(pattern, one) for one in value
    )


def _is_filled(value: Any, pattern: str) -> bool:
    return bool(value) and _is_list(value, pattern)


def _is_size(value: Any) -> bool:
    return value is None or (isinstance(value, int) and value > 0)


def _is_environment(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and _is_list(list(value), r"[A-Za-z_][A-Za-z0-9_]*")
        and _is_list(list(value.values()), r"[^\0]*")
    )


_SHAPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (
        lambda value: _is_list([value], r"[a-z][a-z0-9-]{0,39}"),
        "lower-case letters, digits and hyphens",
    ),
    "title": (lambda value: _is_list([value], r".*\S.*"), "a text"),
    "stages": (lambda value: _is_filled(value, r"[a-z][a-z0-9-]*"), "a list of names of scripts"),
    "verify": (lambda value: _is_filled(value, r".*\S.*"), "a list of commands"),
    "cores": (_is_size, "a number"),
    "memory_mib": (_is_size, "a number"),
    "disk_gib": (_is_size, "a number"),
    "environment": (_is_environment, "a table of names and texts"),
}
