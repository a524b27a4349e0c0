"""Under systemd the supervisor is a unit of its own, and knows a shutdown from any other end of it.

systemd itself is stood in for by two executables, as a directory stands in for the guest.
"""

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.guest.conftest import Gateway, Guest, alive, eventually

# As systemd does it: a session of its own, no environment but what was asked for, and a mark that it is a unit.
SYSTEMD_RUN = """#!{python}
import os, subprocess, sys
words = sys.argv[1:]
open({log!r}, "w").write(" ".join(words))
env = {{"INVOCATION_ID": "0" * 32}}
while words[0].startswith("-"):
    word = words.pop(0)
    if word == "-p":
        words.pop(0)
    elif word.startswith("--setenv="):
        name, _, value = word[len("--setenv="):].partition("=")
        env[name] = value
quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
subprocess.Popen(words, env=env, cwd="/", start_new_session=True, **quiet)
"""


class Systemd:
    """The guest's systemd, as far as the runner asks it for anything."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "systemd-run.log"
        self.put("systemd-run", SYSTEMD_RUN.format(python=sys.executable, log=str(self.log)))
        self.say("running")

    def say(self, state: str) -> None:
        self.put("systemctl", f'#!/bin/sh\n[ "$1" = is-system-running ] && echo {state}\n')

    def refuse(self) -> None:
        self.put("systemd-run", "#!/bin/sh\necho 'Access denied' >&2\nexit 1\n")

    def put(self, name: str, script: str) -> None:
        (self.directory / name).write_text(script)
        (self.directory / name).chmod(0o755)


@pytest.fixture
def systemd(guest: Guest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    """Makes the guest one that systemd has booted."""
    (guest.root / "run/systemd/system").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return Systemd(tmp_path / "bin")


def is_unit(pid: int) -> bool:
    return b"INVOCATION_ID=" in Path(f"/proc/{pid}/environ").read_bytes()


class TestStart:
    def test_the_supervisor_is_a_unit_that_a_lack_of_memory_does_not_stop(
        self, guest: Guest, gateway: Gateway, systemd: Systemd
    ) -> None:
        bundle = guest.bundle("echo at work; exec sleep 60", gateway=gateway.url)
        supervisor = guest.tell("start", bundle)["pid"]
        assert is_unit(supervisor)
        asked = systemd.log.read_text()
        assert f"--unit=autovibe-{guest.run(bundle).name}" in asked
        assert "-p OOMPolicy=continue" in asked
        assert "-p KillMode=mixed" in asked
        eventually(lambda: gateway.texts() == ["at work"])
        assert guest.tell("status")["running"]
        assert guest.tell("stop", "--grace", "1")["stopped"]

    def test_the_agent_finds_the_same_programs_as_without(
        self, guest: Guest, gateway: Gateway, systemd: Systemd
    ) -> None:
        guest.tell("start", guest.bundle('echo "$PATH"; echo "$GUEST_ROOT"', gateway=gateway.url))
        eventually(gateway.ended)
        path, root = gateway.texts()
        assert str(systemd.directory) in path
        assert root == str(guest.root)

    def test_an_agent_that_is_quick_has_ended_well(
        self, guest: Guest, gateway: Gateway, systemd: Systemd
    ) -> None:
        for _ in range(3):
            assert guest.tell("start", guest.bundle("true", gateway=gateway.url))["started"]
            eventually(lambda: guest.tell("status")["exit_code"] == 0)
            guest.tell("stop")

    def test_where_systemd_refuses_the_supervisor_is_a_process_like_any_other(
        self, guest: Guest, gateway: Gateway, systemd: Systemd
    ) -> None:
        systemd.refuse()
        bundle = guest.bundle("echo at work; exec sleep 60", gateway=gateway.url)
        assert not is_unit(guest.tell("start", bundle)["pid"])
        eventually(lambda: gateway.texts() == ["at work"])
        assert "Access denied" in (guest.run(bundle) / "supervisor.log").read_text()

    def test_a_supervisor_that_does_not_come_up_is_said(
        self, guest: Guest, gateway: Gateway, systemd: Systemd
    ) -> None:
        bundle = guest.bundle("true", gateway=gateway.url)
        (guest.run(bundle) / "agent.log").mkdir(parents=True)
        done = guest.runner("start", bundle)
        assert done.returncode == 5
        assert "IsADirectoryError" in done.stderr
        assert not guest.tell("status")["running"]


class TestEnd:
    @pytest.mark.parametrize("refused", [False, True], ids=["as a unit", "as a process"])
    def test_the_end_of_the_unit_alone_is_the_end_of_the_agent(
        self, guest: Guest, gateway: Gateway, systemd: Systemd, refused: bool
    ) -> None:
        if refused:
            systemd.refuse()
        supervisor = guest.tell("start", guest.bundle("exec sleep 60", gateway=gateway.url))["pid"]
        agent = guest.tell("status")["pid"]
        os.kill(supervisor, signal.SIGTERM)
        ended = eventually(gateway.ended)
        assert "resume the machine" in ended["sentence"]
        eventually(lambda: not alive(agent) and not alive(supervisor))

    def test_a_shutdown_of_the_guest_is_none(self, guest: Guest, gateway: Gateway, systemd: Systemd) -> None:
        systemd.say("stopping")
        supervisor = guest.tell("start", guest.bundle("exec sleep 60", gateway=gateway.url))["pid"]
        os.kill(supervisor, signal.SIGTERM)
        eventually(lambda: not alive(supervisor))
        assert gateway.ended() is None
        assert "The guest is being shut down, and the agent with it." in gateway.texts("sys")
