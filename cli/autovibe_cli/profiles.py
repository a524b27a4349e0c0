"""Which server to speak to, and the token to show it: environment, the checkout's own server, saved profiles."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from autovibe_cli.errors import Failure

DEFAULT = "default"
_CHECKOUT = Path(__file__).resolve().parents[2]


class Profile(NamedTuple):
    """A server's address, a token, and where the two were found."""

    url: str
    token: str
    origin: str


def find(name: str | None, prog: str) -> Profile:
    """The named profile; else the environment's, the running checkout's, the saved default, in that order.

    Raises `Failure`, which says how to get one.
    """
    saved = _read(path()).get("profiles", {})
    if name := name or os.environ.get("AUTOVIBE_PROFILE"):
        if name not in saved:
            raise Failure(
                f"There is no profile {name!r} in {path()}. Make it: {prog} login URL --profile {name}"
            )
        return _profile(saved[name], f"profile {name} in {path()}")
    if found := _from_environment():
        return found
    if (local := _local()).exists():
        return _profile(_read(local), str(local))
    if DEFAULT in saved:
        return _profile(saved[DEFAULT], str(path()))
    raise Failure(
        "No server is known. Start one on this machine with bin/dev, or sign in to another: "
        f"{prog} login https://autovibe.example.com"
    )


def save(name: str, url: str, token: str) -> None:
    """Keep a profile in a file that only its owner can read."""
    kept = _read(path())
    kept.setdefault("profiles", {})[name] = {"url": url, "token": token}
    _write(kept)


def known() -> list[tuple[str, str]]:
    """Names and addresses of what is kept."""
    saved = _read(path()).get("profiles", {})
    return [(name, str(entry.get("url", ""))) for name, entry in sorted(saved.items())]


def forget(name: str) -> bool:
    """Keep it no longer; False if it never was."""
    kept = _read(path())
    if kept.get("profiles", {}).pop(name, None) is None:
        return False
    _write(kept)
    return True


def _write(kept: dict[str, Any]) -> None:
    path().parent.mkdir(parents=True, exist_ok=True)
    fresh = path().with_suffix(f".{os.getpid()}")
    with open(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        json.dump(kept, file, indent=2)
    fresh.replace(path())


def path() -> Path:
    """The file of saved profiles."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "autovibe" / "config.json"


def _local() -> Path:
    """What bin/dev of this checkout wrote; it keeps its state where AUTOVIBE_VAR says."""
    return Path(os.environ.get("AUTOVIBE_VAR") or _CHECKOUT / "var") / "cli.json"


def _from_environment() -> Profile | None:
    url, token = os.environ.get("AUTOVIBE_URL"), os.environ.get("AUTOVIBE_TOKEN")
    if url and token:
        return Profile(url, token, "AUTOVIBE_URL and AUTOVIBE_TOKEN")
    if url or token:
        raise Failure("Set both AUTOVIBE_URL and AUTOVIBE_TOKEN, or neither.")
    return None


def _profile(entry: Mapping[str, str], origin: str) -> Profile:
    try:
        return Profile(entry["url"], entry["token"], origin)
    except (KeyError, TypeError):
        raise Failure(f"{origin} lacks “url” or “token”.") from None


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Failure(f"{file} cannot be read: {error}") from None
    return content if isinstance(content, dict) else {}
