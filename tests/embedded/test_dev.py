"""`bin/dev` as a whole: first start, second start, and every way to end it."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from autovibe.embedded import leftovers, ports
from tests import waiting

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
FIRST_START_SECONDS = 120.0
SECOND_START_SECONDS = 60.0  # 15 on a machine that has nothing else to do
PATIENCE_SECONDS = 60.0

settled = partial(waiting.settled, seconds=PATIENCE_SECONDS)


class Dev:
    """One `bin/dev`, without the part that installs packages."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.port = ports.choose(None, 18_000, variable="AUTOVIBE_PORT")
        self.said = var.with_suffix(".said")
        self.process = self._start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _start(self) -> subprocess.Popen[bytes]:
        ours = {
            "AUTOVIBE_VAR": str(self.var),
            "AUTOVIBE_PORT": str(self.port),
            "AUTOVIBE_NODE_PORT": str(ports.choose(None, self.port + 1, variable="AUTOVIBE_NODE_PORT")),
        }
        kept = {
            name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "SECRET_KEY"}
        }
        return subprocess.Popen(
            [sys.executable, "-m", "autovibe.embedded"],
            cwd=ROOT,
            env={**kept, **ours},
            stdout=self.said.open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def again(self) -> None:
        self.process = self._start()

    def wait_until_up(self, seconds: float) -> None:
        up = waiting.settled(
            lambda: "autovibe is up" in self.output() or self.process.poll() is not None, seconds
        )
        assert up, self.output()
        assert self.process.poll() is None, self.output()

    def output(self) -> str:
        return self.said.read_text()

    def health(self) -> dict[str, str]:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))

    def pid_of(self, name: str) -> int:
        return int((self.var / "run" / f"{name}.pid").read_text().split()[0])

    def processes(self) -> list[psutil.Process]:
        """Everything that runs on its behalf."""
        mark = str(self.var / "run")
        return [
            process for process in psutil.process_iter() if environment(process).get(leftovers.MARK) == mark
        ]

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)


def environment(process: psutil.Process) -> dict[str, str]:
    try:
        return dict(process.environ())
    except psutil.Error:
        return {}


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    made = Dev(tmp_path_factory.mktemp("dev") / "var")
    made.wait_until_up(FIRST_START_SECONDS)
    yield made
    if made.process.poll() is None:
        made.end(signal.SIGTERM)


@pytest.fixture
def running(dev: Dev) -> Dev:
    """The same one, started again if the test before has ended it."""
    if dev.process.poll() is not None:
        dev.again()
        dev.wait_until_up(SECOND_START_SECONDS)
    return dev


class TestRunning:
    def test_everything_is_well_once_it_says_so(self, running: Dev) -> None:
        # A cluster of workers that starts connects, forks, and connects again.
        assert settled(lambda: set(running.health().values()) == {"ok"})

    def test_it_says_where_who_what_next_and_how_to_stop(self, running: Dev) -> None:
        assert running.url in running.output()
        assert re.search(r"admin / \S{12}\n", running.output())
        assert "bin/autovibe spawn --project demo" in running.output()
        assert "offline model" in running.output()
        assert "Ctrl-C" in running.output()

    def test_the_command_line_has_a_token_that_opens_the_api(self, running: Dev) -> None:
        config = json.loads((running.var / "cli.json").read_text())
        request = urllib.request.Request(f"{config['url']}/api/v1/projects/")
        request.add_header("Authorization", f"Bearer {config['token']}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert "demo" in answer.read().decode()

    def test_a_second_one_says_where_the_first_runs(self, running: Dev) -> None:
        second = subprocess.run(
            [sys.executable, "-m", "autovibe.embedded"],
            cwd=ROOT,
            env={**os.environ, "AUTOVIBE_VAR": str(running.var)},
            capture_output=True,
            text=True,
        )
        assert second.returncode == 1
        assert f"already running at {running.url} (pid {running.process.pid})" in second.stdout

    def test_a_killed_worker_is_replaced_and_none_of_its_children_stays(self, running: Dev) -> None:
        before = running.pid_of("worker")
        children = psutil.Process(before).children(recursive=True)
        os.kill(before, signal.SIGKILL)
        assert settled(
            lambda: (running.var / "run" / "worker.pid").exists() and running.pid_of("worker") != before
        )
        assert not psutil.wait_procs(children, timeout=PATIENCE_SECONDS)[1]
        assert settled(lambda: running.health().get("worker") == "ok")

    def test_a_killed_database_comes_back_and_everybody_finds_it(self, running: Dev) -> None:
        os.kill(running.pid_of("postgres"), signal.SIGKILL)
        assert settled(lambda: "postgres was ended by SIGKILL" in running.output())
        assert settled(lambda: set(running.health().values()) == {"ok"})


class TestResetting:
    def reset(self, var: Path, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "autovibe.embedded", "reset", *arguments],
            cwd=ROOT,
            env={**os.environ, "AUTOVIBE_VAR": str(var)},
            input=answer,
            capture_output=True,
            text=True,
        )

    def test_it_deletes_everything_when_told_yes(self, tmp_path: Path) -> None:
        (tmp_path / "var" / "postgres").mkdir(parents=True)
        assert self.reset(tmp_path / "var", answer="y\n").returncode == 0
        assert not (tmp_path / "var").exists()

    def test_it_deletes_nothing_without_a_yes(self, tmp_path: Path) -> None:
        (tmp_path / "var" / "postgres").mkdir(parents=True)
        assert self.reset(tmp_path / "var").returncode == 1
        assert (tmp_path / "var" / "postgres").exists()

    def test_it_does_not_pull_the_rug_from_under_a_running_one(self, running: Dev) -> None:
        refused = self.reset(running.var, "--yes")
        assert refused.returncode == 1
        assert "already running" in refused.stdout
        assert running.health()["database"] == "ok"


class TestEnding:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_told_to_stop_it_takes_everything_along(self, running: Dev, number: signal.Signals) -> None:
        assert running.end(number) == 0
        assert running.processes() == []

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
    def test_even_killed_it_leaves_nobody_behind_and_loses_nothing(self, running: Dev) -> None:
        token = (running.var / "cli.json").read_text()
        running.end(signal.SIGKILL)
        assert settled(lambda: running.processes() == [])
        running.again()
        running.wait_until_up(SECOND_START_SECONDS)
        assert (running.var / "cli.json").read_text() == token
