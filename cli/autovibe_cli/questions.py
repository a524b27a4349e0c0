"""Questions before something is done that cannot be taken back, or has its price."""

from __future__ import annotations

import sys

from autovibe_cli.errors import Usage


def confirm(question: str) -> None:
    """Raises `Usage` unless the user says yes; where nobody can be asked, --yes has to."""
    if not sys.stdin.isatty():
        raise Usage("There is nobody to ask here. Say --yes if you mean it.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Usage("Nothing was done.")
