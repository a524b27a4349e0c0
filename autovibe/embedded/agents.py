"""Agents on this host (`claude`, `aider`): which directories the embedded node's guests have to see to run them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("claude", "aider")


def directories() -> list[Path]:
    """Where the agents that are on our PATH lie, where that is not under /usr, which guests see anyway."""
    found = {path for program in PROGRAMS for path in _of(program)}
    return sorted(path for path in found if not path.is_relative_to("/usr"))


def _of(program: str) -> Iterator[Path]:
    where = shutil.which(program)
    if where is None:
        return
    link, real = Path(where), Path(where).resolve()
    for path in (link, real):
        yield from _environment(path.parent.parent) or [path.parent]


def _environment(prefix: Path) -> list[Path]:
    """A Python environment needs all of itself, and the Python that it was made with."""
    settings = prefix / "pyvenv.cfg"
    if not settings.exists():
        return []
    lines = (line.partition("=") for line in settings.read_text().splitlines())
    home = next((Path(value.strip()) for key, _, value in lines if key.strip() == "home"), None)
    return [prefix, *([home.resolve().parent] if home else [])]
