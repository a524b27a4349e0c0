"""Serves scenes: the real web process on a database of its own, without node, workers and hub."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autovibe.embedded.postgres import Postgres
from tests.e2e.stack import ROOT, Stack, web_alone


@dataclass(frozen=True)
class Scene:
    """A scene that is being served."""

    name: str
    stack: Stack
    ids: dict[str, str]
    cookie: str

    @property
    def url(self) -> str:
        return self.stack.url

    @property
    def signed_in(self) -> list[dict[str, str]]:
        """The cookies of a browser in which the admin has signed in."""
        return [{"name": "sessionid", "value": self.cookie, "url": self.url}]


@contextmanager
def serving(name: str, home: Path, database: str, *, port: int = 0, **settings: str) -> Iterator[Scene]:
    """Build the scene into an empty, migrated database, and serve it until the end of the block."""
    with web_alone(home, database, port=port, **settings) as stack:
        told = json.loads(_build(name, stack))
        stack.start("web")
        stack.await_pages()
        yield Scene(name, stack, **told)


def _build(name: str, stack: Stack) -> str:
    argv = [sys.executable, "-m", "tests.scenes.build", name]
    done = subprocess.run(
        argv, cwd=ROOT, env=stack.environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.splitlines()[-1]


@contextmanager
def standing_alone(name: str, *, fsync: bool = False, port: int = 0, **settings: str) -> Iterator[Scene]:
    """The same on a throw-away PostgreSQL, for programs that are no tests."""
    with tempfile.TemporaryDirectory(prefix=f"autovibe-{name}-") as directory:
        home = Path(directory)
        home.chmod(0o755)  # PostgreSQL may run as somebody else
        server = Postgres(home / "postgres", fsync=fsync)
        server.start()
        try:
            with web_alone(home, server.url) as stack:
                stack.manage("migrate", "--verbosity", "0")
            with serving(name, home, server.url, port=port, **settings) as scene:
                yield scene
        finally:
            server.stop()
