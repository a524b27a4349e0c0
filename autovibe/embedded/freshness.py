"""Skipping work at start-up whose inputs are those of last time."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The installed packages bring migrations and static files of their own.
_PACKAGES = ("constraints.txt", "requirements.txt", "autovibe/settings.py")


def migrations() -> str:
    """A digest that changes whenever there may be something to migrate."""
    return _digest([*ROOT.glob("*/migrations/*.py"), *_named(_PACKAGES)])


def static_files() -> str:
    """A digest that changes whenever there may be something to collect."""
    return _digest([*ROOT.glob("static/**/*"), *ROOT.glob("*/static/**/*"), *_named(_PACKAGES)])


def unchanged(stamp: Path, digest: str) -> bool:
    return stamp.exists() and stamp.read_text() == digest


def remember(stamp: Path, digest: str) -> None:
    stamp.write_text(digest)


def _named(names: Iterable[str]) -> list[Path]:
    return [ROOT / name for name in names]


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in paths if path.is_file()):
        digest.update(f"{path.relative_to(ROOT)} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
