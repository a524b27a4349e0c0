"""Real agents in machines of the whole stack, in front of a provider that knows what it has counted."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from autovibe.embedded import agents
from tests import plugin_postgres
from tests.acceptance import upstream
from tests.acceptance.session import Provider
from tests.e2e.stack import ROOT, Stack, _answers, _free_port, database_copy, eventually, running

PROGRAMS = ROOT / "var" / "agents" / "bin"
TYPES = Path(__file__).with_name("types")


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """The scripted upstream, in a process of its own."""
    with _serving(tmp_path_factory.mktemp("upstream") / "log", _free_port()) as url:
        yield Provider(url)


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    provider: Provider,
    django_db_setup: None,
    django_db_blocker,
) -> Iterator[Stack]:
    """The whole of autovibe, with the module's AGENT to be had in guests as `bin/dev` gives it to them."""
    shared = _host_paths(request.module.AGENT)
    with django_db_blocker.unblock(), plugin_postgres._server() as server:
        template = plugin_postgres._migrated_template(server)
    settings = {
        "ANTHROPIC_API_KEY": upstream.KEY,
        "ANTHROPIC_UPSTREAM_URL": provider.url,
        "OPENAI_API_KEY": upstream.KEY,
        "OPENAI_UPSTREAM_URL": provider.url,
        "MACHINE_TYPES_DIR": str(TYPES),
    }
    name = f"acceptance_{request.module.__name__.rpartition('.')[2]}"
    home = tmp_path_factory.mktemp("stack")
    with (
        database_copy(template, name) as database,
        running(home, database, node=shared, **settings) as started,
    ):
        yield started


def _host_paths(agent: str) -> tuple[str, ...]:
    """Options of the node that let guests see the agent. Skips where it cannot be installed."""
    installing = subprocess.run([ROOT / "bin" / "agents", agent], capture_output=True, text=True)
    if installing.returncode:
        pytest.skip(f"{agent} cannot be installed here: {installing.stderr.strip()[-500:]}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(PROGRAMS))
        return tuple(word for path in agents.directories() for word in ("--host-path", str(path)))


@contextmanager
def _serving(log: Path, port: int) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.acceptance.upstream", "--port", str(port)]
    with (
        log.open("w") as output,
        subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output) as process,
    ):
        try:
            eventually(lambda: _answers(port), what="the scripted upstream")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
