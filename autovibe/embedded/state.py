"""What `bin/dev` keeps under `var/`: who runs, the secrets it made up, and the ports it chose."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path


class AlreadyRunning(Exception):
    """Another `bin/dev` holds this state directory; the message says where it is to be found."""


@dataclass(frozen=True)
class Secrets:
    secret_key: str
    node_token: str
    admin_password: str


class State:
    """Paths below one directory, readable by its owner only."""

    def __init__(self, root: Path) -> None:
        root.mkdir(
            parents=True, exist_ok=True, mode=0o711
        )  # 711: PostgreSQL's account may have to pass through
        self.root = root
        self.postgres = root / "postgres"
        self.node = root / "node"
        self.logs = _private(root / "log")
        self.run = _private(root / "run")
        self.cli = root / "cli.json"

    def secrets(self) -> Secrets:
        """The secrets of this installation, made at first use."""
        path = self.root / "secrets.json"
        if not path.exists():
            made = Secrets(secrets.token_urlsafe(48), secrets.token_urlsafe(24), secrets.token_urlsafe(9))
            self.write_private("secrets.json", json.dumps(asdict(made), indent=1))
        return Secrets(**json.loads(path.read_text()))

    def port(self, name: str, default: int) -> int:
        """The port that `name` had last time: guests and bookmarks remember it."""
        return int(self._ports().get(name, default))

    def remember_ports(self, **ports: int) -> None:
        self.write_private("ports.json", json.dumps(self._ports() | ports))

    def write_private(self, name: str, content: str) -> None:
        """Replace the file `name` in one go; nobody else can ever read it."""
        path = self.root / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        partial = path.with_suffix(".partial")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(content + "\n")
        partial.replace(path)

    def _ports(self) -> dict[str, int]:
        path = self.root / "ports.json"
        return json.loads(path.read_text()) if path.exists() else {}

    @contextmanager
    def held(self) -> Iterator["Holder"]:
        """Be the only one who runs on this directory. Raises AlreadyRunning."""
        with (self.run / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyRunning(_who_holds(self.run / "lock")) from None
            holder = Holder(self.run / "lock")
            holder.tell(url="")
            yield holder


@dataclass(frozen=True)
class Holder:
    """The one who runs; tells others where."""

    path: Path

    def tell(self, url: str) -> None:
        self.path.write_text(json.dumps({"pid": os.getpid(), "url": url}))


def _who_holds(path: Path) -> str:
    try:
        told = json.loads(path.read_text())
    except ValueError:  # it is being written just now
        return "autovibe is already starting here."
    if not told["url"]:
        return f"autovibe is already starting here (pid {told['pid']})."
    return f"autovibe is already running at {told['url']} (pid {told['pid']})."


def _private(path: Path) -> Path:
    path.mkdir(mode=0o700, exist_ok=True)
    return path
