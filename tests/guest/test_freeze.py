"""Holding an agent still while a checkpoint is taken, letting it go on, and what time that costs it."""

import gzip
import hashlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from tests.guest.conftest import Gateway, Guest, alive, eventually, pids, state

# One of each kind: a child, one with a session of its own, one without our marker, one with threads. All write.
BUSY = """
    loop='while :; do date +%N >> $0.txt; done'
    sh -c "$loop" plain & echo $! > plain.pid
    setsid sh -c "$loop" session & echo $! > session.pid
    env -i "PATH=$PATH" setsid sh -c "echo \\$\\$ > hidden.pid; $loop" hidden &
    cat > threads.py <<'END'
import os, threading
def write(name):
    with open(name, "a", buffering=1) as file:
        while True:
            file.write("x" * 1000 + "\\n") if file.tell() < 1 << 22 else file.truncate(file.seek(0))
for n in range(3):
    threading.Thread(target=write, args=(f"thread{n}.txt",)).start()
open("threads.pid", "w").write(str(os.getpid()))
END
    python3 threads.py &
    wait
"""
KINDS = ("plain", "session", "hidden", "threads")
WAITING = "echo $$ > pid; while [ ! -e go ]; do sleep 0.05; done; echo went on"


def stopped(pid: int) -> bool:
    return state(pid) == "T"


def started(guest: Guest, gateway: Gateway, command: str = WAITING, **more: Any) -> tuple[int, int]:
    """Start an agent that writes its number to `pid`; the supervisor's and the agent's numbers."""
    supervisor = guest.tell("start", guest.bundle(command, gateway=gateway.url, **more))["pid"]
    return supervisor, eventually(lambda: pids(guest.workspace / "pid"))[0]


def freeze(guest: Guest, *options: object) -> dict[str, Any]:
    return guest.tell("capture", guest.root / "out.gz", "--freeze", *options)


def listed(guest: Guest) -> dict[str, str]:
    lines = [
        json.loads(line) for line in gzip.decompress((guest.root / "out.gz").read_bytes()).splitlines()[1:]
    ]
    return {line["path"]: line["sha256"] for line in lines if line.get("kind") == "file"}


def on_disk(workspace: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in workspace.iterdir()
        if path.is_file()
    }


class TestFreeze:
    def test_the_list_is_what_the_disk_holds_until_the_thaw(self, guest: Guest, gateway: Gateway) -> None:
        supervisor = guest.tell("start", guest.bundle(BUSY, gateway=gateway.url))["pid"]
        eventually(lambda: all((guest.workspace / f"{kind}.pid").exists() for kind in KINDS))
        agents = [
            pid for kind in KINDS for pid in eventually(lambda k=kind: pids(guest.workspace / f"{k}.pid"))
        ]
        eventually(lambda: len(list(guest.workspace.glob("*.txt"))) == 6)
        told = freeze(guest)
        assert listed(guest) == on_disk(guest.workspace)
        assert told["frozen"] >= len(agents) + 1
        assert all(map(stopped, agents))
        assert not stopped(supervisor)
        assert guest.tell("thaw")["thawed"] == told["frozen"]
        still = on_disk(guest.workspace)
        eventually(lambda: sum(still[name] != now for name, now in on_disk(guest.workspace).items()) >= 6)
        assert not any(map(stopped, agents))

    def test_no_process_gets_away_that_is_born_meanwhile(self, guest: Guest, gateway: Gateway) -> None:
        command = "while :; do for n in 1 2 3 4; do (sh -c 'echo x >> forks') & done; wait; done"
        guest.tell("start", guest.bundle(command, gateway=gateway.url))
        eventually((guest.workspace / "forks").exists)
        for _ in range(5):
            freeze(guest)
            for _ in range(20):
                assert listed(guest) == on_disk(guest.workspace)
            guest.tell("thaw")

    def test_a_shell_with_job_control_takes_no_notice(self, guest: Guest, gateway: Gateway) -> None:
        job = "while [ ! -e go ]; do sleep 0.01; done; exit 7"
        command = f"exec bash -c 'set -m; echo $$ > pid; (trap : INT; {job}); echo ended with $?'"
        started(guest, gateway, command)
        for _ in range(5):
            freeze(guest)
            guest.tell("thaw")
        (guest.workspace / "go").touch()
        eventually(gateway.ended)
        assert gateway.texts() == ["ended with 7"]

    def test_what_a_dead_supervisor_left_behind_is_held_too(self, guest: Guest, gateway: Gateway) -> None:
        supervisor, agent = started(guest, gateway, "echo $$ > pid; while :; do sleep 0.05; done")
        os.kill(supervisor, signal.SIGKILL)
        eventually(lambda: not alive(supervisor))
        assert freeze(guest)["frozen"] >= 1
        assert stopped(agent)
        guest.tell("thaw")
        eventually(lambda: not stopped(agent))

    def test_without_a_run_there_is_nothing_to_hold(self, guest: Guest, gateway: Gateway) -> None:
        assert freeze(guest)["frozen"] == 0
        guest.tell("start", guest.bundle("true", gateway=gateway.url))
        eventually(gateway.ended)
        assert freeze(guest)["frozen"] == 0

    def test_without_the_option_nothing_is_held(self, guest: Guest, gateway: Gateway) -> None:
        _, agent = started(guest, gateway)
        assert guest.tell("capture", guest.root / "out.gz")["frozen"] == 0
        assert not stopped(agent)

    def test_a_capture_that_fails_lets_go(self, guest: Guest, gateway: Gateway) -> None:
        _, agent = started(guest, gateway)
        done = guest.runner("capture", guest.root / "nowhere/out.gz", "--freeze")
        assert done.returncode == 1
        assert "nowhere" in done.stderr
        assert not stopped(agent)
        assert guest.tell("thaw")["thawed"] == 0

    def test_a_capture_that_is_ended_lets_go(self, guest: Guest, gateway: Gateway) -> None:
        _, agent = started(guest, gateway)
        (guest.workspace / "large").touch()
        os.truncate(guest.workspace / "large", 1 << 36)  # takes minutes to read
        capture = guest.popen("capture", guest.root / "out.gz", "--freeze")
        eventually(lambda: stopped(agent))
        capture.terminate()
        capture.wait(10)
        assert not stopped(agent)


class TestThaw:
    def test_it_may_come_twice_or_for_nothing(self, guest: Guest, gateway: Gateway) -> None:
        assert guest.tell("thaw") == {"run": None, "thawed": 0}
        _, agent = started(guest, gateway)
        assert guest.tell("thaw")["thawed"] == 0
        freeze(guest)
        assert guest.tell("thaw")["thawed"] >= 1
        assert guest.tell("thaw")["thawed"] == 0
        eventually(lambda: not stopped(agent))
        (guest.workspace / "go").touch()
        assert (eventually(gateway.ended))["exit_code"] == 0
        assert guest.tell("thaw")["thawed"] == 0

    def test_the_supervisor_does_it_when_nobody_else_does_and_says_so(
        self, guest: Guest, gateway: Gateway
    ) -> None:
        _, agent = started(guest, gateway)
        freeze(guest, "--freeze-seconds", 0.3)
        eventually(lambda: not stopped(agent))
        (said,) = eventually(lambda: gateway.texts("sys"))
        assert "0.3 s" in said
        assert guest.tell("thaw")["thawed"] == 0

    def test_a_second_freeze_begins_the_time_anew(self, guest: Guest, gateway: Gateway) -> None:
        _, agent = started(guest, gateway)
        freeze(guest, "--freeze-seconds", 1)
        freeze(guest)
        began = time.monotonic()
        while time.monotonic() < began + 1.5:
            assert stopped(agent)
        guest.tell("thaw")
        (guest.workspace / "go").touch()
        eventually(gateway.ended)
        assert gateway.texts("sys") == []


class TestWhileFrozen:
    def test_what_was_said_before_is_reported(self, guest: Guest, gateway: Gateway) -> None:
        gateway.close()
        _, agent = started(guest, gateway, f"echo before; {WAITING}")
        freeze(guest)
        gateway.open()
        assert eventually(gateway.texts) == ["before"]
        assert stopped(agent)
        assert guest.tell("status")["running"] is True

    def test_a_stop_lets_the_agent_save_its_work(self, guest: Guest, gateway: Gateway) -> None:
        command = "trap 'echo saving; exit 0' TERM; echo $$ > pid; while :; do sleep 0.05; done"
        started(guest, gateway, command)
        freeze(guest)
        told = guest.tell("stop", "--grace", "10")
        assert (told["stopped"], told["exit_code"]) == (True, 0)
        assert gateway.texts() == ["saving"]
        assert guest.tell("thaw")["thawed"] == 0

    def test_a_stop_kills_what_does_not_want_to_end(self, guest: Guest, gateway: Gateway) -> None:
        supervisor, agent = started(
            guest, gateway, 'trap "" TERM; echo $$ > pid; while :; do sleep 0.1; done'
        )
        freeze(guest)
        assert guest.tell("stop", "--grace", "0.3")["exit_code"] == 137
        assert not alive(agent)
        assert not alive(supervisor)

    def test_a_stop_reaches_a_run_that_was_ending_already(self, guest: Guest, gateway: Gateway) -> None:
        command = 'trap "echo ending" TERM; echo $$ > pid; while :; do sleep 0.05; done'
        _, agent = started(guest, gateway, command, wall_seconds=0.5)
        eventually(lambda: "ending" in gateway.texts())
        freeze(guest)
        began = time.monotonic()
        assert guest.tell("stop", "--grace", "0.3")["stopped"] is True
        assert time.monotonic() - began < 8
        assert not alive(agent)

    def test_the_gateway_may_end_it(self, guest: Guest, gateway: Gateway) -> None:
        gateway.close()
        started(guest, gateway)
        freeze(guest)
        gateway.answer = {"stop": True}
        gateway.open()
        assert "control plane" in eventually(gateway.ended)["sentence"]


class TestTimeLimit:
    def test_time_spent_frozen_does_not_count(self, guest: Guest, gateway: Gateway) -> None:
        started(guest, gateway, wall_seconds=2)
        freeze(guest)
        pass_seconds(3)
        (guest.workspace / "go").touch()
        guest.tell("thaw")
        ended = eventually(gateway.ended)
        assert gateway.texts() == ["went on"]
        assert (ended["exit_code"], ended["signal"]) == (0, None)
        assert ended["seconds"] < 2

    def test_time_during_which_the_whole_guest_was_suspended_does_not_count(
        self, guest: Guest, gateway: Gateway
    ) -> None:
        supervisor, agent = started(guest, gateway, wall_seconds=3)
        for pid in (supervisor, agent):
            os.kill(pid, signal.SIGSTOP)
        pass_seconds(4)
        (guest.workspace / "go").touch()
        for pid in (supervisor, agent):
            os.kill(pid, signal.SIGCONT)
        ended = eventually(gateway.ended)
        assert gateway.texts() == ["went on"]
        assert ended["exit_code"] == 0
        assert ended["seconds"] < 3

    def test_an_agent_that_talks_all_the_time_has_no_more_of_it(self, guest: Guest, gateway: Gateway) -> None:
        bundle = guest.bundle("exec yes", gateway=gateway.url, wall_seconds=3)
        guest.tell("start", bundle)
        eventually(lambda: guest.tell("status")["running"] is False)
        first, *_, last = (guest.run(bundle) / "agent.log").read_text().splitlines()
        assert json.loads(last)[1] - json.loads(first)[1] < 4.5


def pass_seconds(seconds: float) -> None:
    began = time.monotonic()
    eventually(lambda: time.monotonic() > began + seconds)
