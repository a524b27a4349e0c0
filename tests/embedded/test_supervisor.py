"""Processes that die, hang, leave children behind, or lose their supervisor; and the ports they want."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from autovibe.embedded import leftovers, ports
from autovibe.embedded.logfile import LogFile
from autovibe.embedded.state import AlreadyRunning, State
from autovibe.embedded.supervisor import Program, Supervisor, SupervisorError

PATIENCE_SECONDS = 15.0
SUPERVISE_UNTIL_KILLED = """
import asyncio, os, sys
from pathlib import Path
from autovibe.embedded.supervisor import Program, Supervisor

async def main():
    here = Path(sys.argv[1])
    supervisor = Supervisor(logs=here / "log", run=here / "run", say=print)
    supervisor.start(Program("child", ["sh", "-c", sys.argv[2]], os.environ))
    await asyncio.sleep(60)

asyncio.run(main())
"""


class Scene:
    """A supervisor over a scratch directory, and what it said."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.said: list[str] = []
        self.supervisor = Supervisor(logs=directory / "log", run=directory / "run", say=self.said.append)

    def shell(self, script: str, name: str = "child", grace_seconds: float = 5) -> Program:
        argv = ["sh", "-c", script]
        return Program(name, argv, os.environ, cwd=self.directory, grace_seconds=grace_seconds)

    def start(self, script: str, name: str = "child", grace_seconds: float = 5) -> None:
        self.supervisor.start(self.shell(script, name, grace_seconds))

    def pids(self, name: str) -> list[int]:
        """The pids that a script has written, a line each."""
        path = self.directory / name
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def log(self, name: str = "child") -> str:
        path = self.supervisor.log_of(name)
        return path.read_text() if path.exists() else ""


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


async def settled(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if condition():
            return True
        await asyncio.sleep(0.02)
    return False


class TestKeepingRunning:
    async def test_what_a_process_writes_is_in_its_log_with_its_name(self, scene: Scene) -> None:
        await scene.supervisor.finish(scene.shell("echo to stdout; echo to stderr >&2"))
        assert "child    | to stdout\n" in scene.log()
        assert "child    | to stderr\n" in scene.log()

    async def test_a_process_that_dies_is_started_again_and_it_says_so(self, scene: Scene) -> None:
        scene.start("echo $$ >>pids; [ $(wc -l <pids) = 2 ] || exit 3; exec sleep 60")
        assert await settled(lambda: len(scene.pids("pids")) == 2)
        await scene.supervisor.stop()
        assert "child ended with exit status 3. Starting it again in 1 s" in scene.said[0]

    async def test_the_killed_leaders_children_go_before_the_next_one_comes(self, scene: Scene) -> None:
        scene.start("echo $$ >>leaders; sleep 60 & echo $! >>children; wait")
        assert await settled(lambda: scene.pids("children"))
        os.kill(scene.pids("leaders")[0], signal.SIGKILL)
        assert await settled(lambda: len(scene.pids("leaders")) == 2)
        assert not alive(scene.pids("children")[0])
        await scene.supervisor.stop()

    async def test_pauses_grow_while_it_keeps_dying(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("autovibe.embedded.supervisor.BACK_OFF_SECONDS", (0.01, 0.02, 0.04))
        scene.start("exit 1")
        assert await settled(lambda: len(scene.said) >= 4)
        await scene.supervisor.stop()
        assert [said.split("again in ")[1].split(" ")[0] for said in scene.said[:4]] == [
            *("0.01", "0.02", "0.04", "0.04")
        ]

    async def test_waiting_for_a_hopeless_one_ends_with_its_last_words(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("autovibe.embedded.supervisor.BACK_OFF_SECONDS", (0.01,))
        scene.start("echo no such database; exit 1")

        async def never() -> bool:
            return False

        with pytest.raises(SupervisorError, match="no such database"):
            await scene.supervisor.until(never, ["child"], PATIENCE_SECONDS)
        await scene.supervisor.stop()

    async def test_a_command_that_fails_is_told_with_its_last_words(self, scene: Scene) -> None:
        with pytest.raises(SupervisorError, match=r"(?s)exit status 2.*the reason"):
            await scene.supervisor.finish(scene.shell("echo the reason; exit 2"))


class TestStopping:
    async def test_the_last_started_is_stopped_first(self, scene: Scene) -> None:
        for name in ("first", "second"):
            scene.start(f"trap 'echo {name} >>order; exit' TERM; echo $$ >{name}; sleep 60 & wait", name)
            assert await settled(lambda name=name: scene.pids(name))
        await scene.supervisor.stop()
        assert (scene.directory / "order").read_text().split() == ["second", "first"]

    async def test_the_whole_group_is_killed_when_its_leader_does_not_listen(self, scene: Scene) -> None:
        scene.start("trap '' TERM; sleep 60 & echo $! >child; echo $$ >leader; wait", grace_seconds=0.1)
        assert await settled(lambda: scene.pids("leader"))
        await scene.supervisor.stop()
        assert not alive(scene.pids("leader")[0])
        child = scene.pids("child")[0]
        assert await settled(lambda: not alive(child))  # nobody of ours waits for its death

    async def test_in_a_hurry_nobody_is_waited_for(self, scene: Scene) -> None:
        scene.start("trap '' TERM; echo $$ >leader; while :; do sleep 60; done", grace_seconds=60)
        assert await settled(lambda: scene.pids("leader"))
        scene.supervisor.hurry()
        await asyncio.wait_for(scene.supervisor.stop(), PATIENCE_SECONDS)
        assert not alive(scene.pids("leader")[0])

    async def test_nothing_is_recorded_as_running_afterwards(self, scene: Scene) -> None:
        scene.start("echo $$ >leader; exec sleep 60")
        assert await settled(lambda: scene.pids("leader"))
        assert await settled(lambda: list((scene.directory / "run").glob("*.pid")))
        await scene.supervisor.stop()
        assert not list((scene.directory / "run").iterdir())


class TestBeingKilled:
    def supervisor_of(self, directory: Path, script: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", SUPERVISE_UNTIL_KILLED, str(directory), script])
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not list((directory / "run").glob("*.pid")) and time.monotonic() < deadline:
            time.sleep(0.02)
        return process

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
    async def test_its_children_end_with_it(self, scene: Scene) -> None:
        supervisor = self.supervisor_of(scene.directory, f"echo $$ >{scene.directory}/leader; exec sleep 60")
        assert await settled(lambda: scene.pids("leader"))
        supervisor.kill()
        supervisor.wait()
        assert await settled(lambda: not alive(scene.pids("leader")[0]))

    async def test_what_it_left_running_is_found_and_ended_at_the_next_start(self, scene: Scene) -> None:
        deaf = f"trap '' TERM; sleep 60 & echo $! >{scene.directory}/child; wait; sleep 60"
        supervisor = self.supervisor_of(scene.directory, deaf)
        assert await settled(lambda: scene.pids("child"))
        supervisor.kill()
        supervisor.wait()
        assert alive(scene.pids("child")[0])
        leader = psutil.Process(scene.pids("child")[0]).ppid()
        os.kill(leader, signal.SIGKILL)  # nobody is left who would listen, only its child
        assert leftovers.end(scene.directory / "run") == ["child"]
        assert not alive(scene.pids("child")[0])

    async def test_a_recorded_pid_that_is_somebody_elses_now_is_left_alone(self, scene: Scene) -> None:
        somebody_else = subprocess.Popen(["sleep", "60"], start_new_session=True)
        leftovers.record(scene.directory / "run", "child", somebody_else.pid, signal.SIGTERM)
        assert leftovers.end(scene.directory / "run") == []
        assert somebody_else.poll() is None
        somebody_else.kill()
        somebody_else.wait()


class TestPorts:
    def test_the_next_free_one_is_taken_when_the_choice_is_ours(self) -> None:
        with socket.create_server((ports.HOST, 0)) as taken:
            port = taken.getsockname()[1]
            assert ports.choose(None, port, variable="AUTOVIBE_PORT") > port

    def test_one_that_was_asked_for_is_not_replaced_but_its_holder_named(self) -> None:
        with socket.create_server((ports.HOST, 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(ports.PortTaken, match=rf"(?s)pid {os.getpid()}.*AUTOVIBE_PORT=\d+ bin/dev"):
                ports.choose(port, 8000, variable="AUTOVIBE_PORT")


class TestState:
    def test_a_second_one_is_told_where_the_first_runs(self, tmp_path: Path) -> None:
        state = State(tmp_path)
        with state.held() as holder:
            holder.tell("http://127.0.0.1:8000")
            with pytest.raises(AlreadyRunning, match=rf"http://127.0.0.1:8000 \(pid {os.getpid()}\)"):
                State(tmp_path).held().__enter__()

    def test_secrets_are_made_once_and_only_their_owner_can_read_them(self, tmp_path: Path) -> None:
        assert State(tmp_path).secrets() == State(tmp_path).secrets()
        assert (tmp_path / "secrets.json").stat().st_mode & 0o077 == 0


class TestLogs:
    def test_a_log_never_grows_beyond_its_bound(self, tmp_path: Path) -> None:
        log = LogFile(tmp_path / "child.log", "child", size_bytes_max=1000)
        for number in range(100):
            log.write(f"line {number}\n".encode())
        log.close()
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2200
        assert "line 99" in (tmp_path / "child.log").read_text() + (tmp_path / "child.log.1").read_text()
