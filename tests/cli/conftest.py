"""A recorded server, and the command line pointed at it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.cli import recorded
from tests.cli.recorded import TOKEN, Recorded

Cli = Callable[..., CompletedProcess[str]]


@pytest.fixture
def server() -> Iterator[Recorded]:
    made = Recorded()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def env(server: Recorded, tmp_path: Path) -> dict[str, str]:
    return recorded.environment(tmp_path, AUTOVIBE_URL=server.url, AUTOVIBE_TOKEN=TOKEN)


@pytest.fixture
def cli(env: dict[str, str]) -> Cli:
    """`cli("machines", "--json")` runs bin/autovibe in a process of its own."""

    def run(*arguments: str, stdin: str | None = None, **more: Path) -> CompletedProcess[str]:
        return recorded.run(arguments, env=env, stdin=stdin, **more)

    return run
