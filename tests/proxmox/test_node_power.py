"""Power, and that the processes of a guest are its own: they start, freeze and end with it."""

import contextlib
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.node_process import start_node
from tests.proxmox.conftest import SECONDS, Api

VMIDS = itertools.count(5000)
# A child that does all it can to get away: its own session, its parent gone, an environment of its own.
LOOP = "while :; do date +%s%N > {mark}; sleep 0.02; done"
ESCAPE = f"(setsid env -i PATH=/usr/bin:/bin sh -c '{LOOP}' >/dev/null 2>&1 &)"


@pytest.fixture
def guest(either: Api) -> int:
    """A running guest of the test's own."""
    vmid = next(VMIDS)
    either.clone(vmid)
    either.start(vmid)
    return vmid


def run_away(api: Api, vmid: int) -> Path:
    """Start a process that leaves its trace in a file on the guest's disk; that file."""
    api.out(vmid, ESCAPE.format(mark="$PWD/workspace/mark"))
    mark = api.disk(vmid) / "workspace/mark"
    until(lambda: mark.exists() and mark.read_text() != "")
    return mark


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def moves(mark: Path) -> bool:
    """Whether the process still writes, judged over a time in which it would have written many times."""
    before, deadline = mark.read_text(), time.monotonic() + 0.5
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            if (now := mark.read_text()) and now != before:
                return True
        time.sleep(0.01)
    return False


class TestStart:
    def test_a_running_guest_is_not_started_again(self, either: Api, guest: int) -> None:
        assert either.ended(either.post(f"qemu/{guest}/status/start")) == f"VM {guest} already running"

    def test_the_status_tells_what_it_uses(self, either: Api, guest: int) -> None:
        status = either.get(f"qemu/{guest}/status/current")
        assert (status["status"], status["qmpstatus"], status["vmid"]) == ("running", "running", guest)
        assert status["pid"] > 0
        until(lambda: either.get(f"qemu/{guest}/status/current")["mem"] > 0)

    def test_an_unknown_vm_fails_in_the_task(self, either: Api) -> None:
        ended = either.ended(either.post("qemu/99999/status/start"))
        assert ended == "Configuration file 'nodes/embedded/qemu-server/99999.conf' does not exist"
        ended = either.ended(either.post("qemu/99999/status/stop"))
        assert ended == "unable to find configuration file for VM 99999 on node 'embedded'"

    def test_every_guest_gets_a_machine_id_of_its_own(self, either: Api, guest: int) -> None:
        either.clone(guest + 10_000)
        either.start(guest + 10_000)
        ids = {either.out(vmid, 'cat "${GUEST_ROOT:-}/etc/machine-id"') for vmid in (guest, guest + 10_000)}
        assert len(ids) == 2


class TestStop:
    def test_every_process_ends_even_one_that_ran_away(self, either: Api, guest: int) -> None:
        mark = run_away(either, guest)
        assert moves(mark)
        either.stop(guest)
        assert not moves(mark)
        assert either.get(f"qemu/{guest}/status/current")["status"] == "stopped"

    def test_a_guest_that_is_off_is_stopped_again_without_complaint(self, either: Api, guest: int) -> None:
        either.stop(guest)
        either.stop(guest)
        either.done(either.post(f"qemu/{guest}/status/shutdown"))

    @pytest.mark.parametrize("verb", ["reset", "suspend", "resume", "reboot"])
    def test_other_verbs_need_it_running(self, either: Api, guest: int, verb: str) -> None:
        either.stop(guest)
        answer = either.call("POST", f"qemu/{guest}/status/{verb}")
        assert (answer.status_code, answer.reason) == (500, f"VM {guest} not running")


class TestShutdown:
    def detach(self, api: Api, vmid: int, beginning: str) -> None:
        """Leave a shell running that begins like this."""
        api.write(vmid, "/root/script", f"{beginning}; while :; do sleep 0.01; done")
        api.out(vmid, '(setsid sh "${GUEST_ROOT:-}/root/script" >/dev/null 2>&1 &)')

    def test_processes_are_asked_before_they_are_killed(self, either: Api, guest: int) -> None:
        self.detach(either, guest, "trap 'echo asked > workspace/asked; exit' TERM; touch workspace/ready")
        until((either.disk(guest) / "workspace/ready").exists)
        either.done(either.post(f"qemu/{guest}/status/shutdown"))
        assert (either.disk(guest) / "workspace/asked").read_text() == "asked\n"

    def test_a_deaf_process_makes_a_short_shutdown_fail_unless_forced(self, either: Api, guest: int) -> None:
        self.detach(either, guest, "trap '' TERM; touch workspace/deaf")
        until((either.disk(guest) / "workspace/deaf").exists)
        ended = either.ended(either.post(f"qemu/{guest}/status/shutdown", timeout=1))
        assert ended == "VM quit/powerdown failed - got timeout"
        assert either.get(f"qemu/{guest}/status/current")["status"] == "running"
        either.done(either.post(f"qemu/{guest}/status/shutdown", timeout=1, forceStop=1))
        assert either.get(f"qemu/{guest}/status/current")["status"] == "stopped"

    def test_it_keeps_a_stop_waiting_unless_that_overrules_it(self, either: Api, guest: int) -> None:
        self.detach(either, guest, "trap '' TERM; touch workspace/deaf")
        until((either.disk(guest) / "workspace/deaf").exists)
        upid = either.post(f"qemu/{guest}/status/shutdown", timeout=180)
        until(lambda: either.get(f"tasks/{upid}/status")["status"] == "running")
        stop = either.post(f"qemu/{guest}/status/stop")
        assert (
            either.ended(stop) == f"can't lock file '/var/lock/qemu-server/lock-{guest}.conf' - got timeout"
        )
        stop = either.post(f"qemu/{guest}/status/stop", **{"overrule-shutdown": 1})
        either.done(stop)
        assert either.ended(upid) == "received interrupt"
        assert either.get(f"tasks/{stop}/log")[0]["t"] == f"overruled qmshutdown tasks: {upid}"
        assert either.get(f"qemu/{guest}/status/current")["status"] == "stopped"

    def test_a_paused_guest_can_only_be_stopped(self, either: Api, guest: int) -> None:
        either.done(either.post(f"qemu/{guest}/status/suspend"))
        for verb in ("shutdown", "reboot"):
            answer = either.call("POST", f"qemu/{guest}/status/{verb}")
            assert answer.reason == "VM is paused - cannot shutdown"
        either.done(either.post(f"qemu/{guest}/status/shutdown", forceStop=1))
        assert either.get(f"qemu/{guest}/status/current")["status"] == "stopped"

    def test_a_silent_agent_is_told_in_the_log(self, either: Api, guest: int) -> None:
        either.call("POST", f"qemu/{guest}/agent/exec", command=["/bin/echo", "\xfc"])
        upid = either.post(f"qemu/{guest}/status/shutdown")
        either.done(upid)
        assert either.get(f"tasks/{upid}/log")[0]["t"] == (
            f"QEMU Guest Agent is not running - VM {guest} qga command 'guest-ping' failed - got timeout"
        )


class TestSuspend:
    def test_everything_stands_still_until_it_is_resumed(self, either: Api, guest: int) -> None:
        mark = run_away(either, guest)
        either.done(either.post(f"qemu/{guest}/status/suspend"))
        assert not moves(mark)
        either.done(either.post(f"qemu/{guest}/status/resume"))
        assert moves(mark)

    def test_memory_cannot_be_saved_to_disk(self, either: Api, guest: int) -> None:
        ended = either.ended(either.post(f"qemu/{guest}/status/suspend", todisk=1))
        assert ended.startswith("Cannot live-migrate, snapshot (with RAM), or hibernate a VM with:")
        assert either.out(guest, "echo on") == "on\n"

    def test_the_monitor_tells(self, either: Api, guest: int) -> None:
        def asked(command: str) -> str:
            return str(either.post(f"qemu/{guest}/monitor", command=command))

        assert asked("info status") == "VM status: running\r\n"
        either.done(either.post(f"qemu/{guest}/status/suspend"))
        assert asked("info status") == "VM status: paused\r\n"
        assert asked("info kvm") == "unknown command: 'info kvm'\r\n"

    def test_a_paused_guest_can_be_stopped(self, either: Api, guest: int) -> None:
        mark = run_away(either, guest)
        either.done(either.post(f"qemu/{guest}/status/suspend"))
        either.stop(guest)
        assert not moves(mark)


class TestReboot:
    def test_files_stay_and_processes_do_not(self, either: Api, guest: int) -> None:
        mark = run_away(either, guest)
        either.done(either.post(f"qemu/{guest}/status/reboot"))
        assert not moves(mark)
        assert mark.exists()
        assert either.out(guest, "echo up") == "up\n"


class TestCleanUp:
    def test_a_vm_that_comes_back_is_locked_for_a_while_as_on_9(self, tmp_path: Path) -> None:
        with start_node(tmp_path, cleanup_seconds=1.5, lock_seconds=0.3) as node:
            api = Api(node)
            api.clone(100)
            api.start(100)
            api.put("qemu/100/config", description="a first start has nothing to clean up")
            api.done(api.post("qemu/100/status/reboot"))
            reason = "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"
            until(lambda: api.call("PUT", "qemu/100/config", description="no").reason == reason)
            assert api.ended(api.post("qemu/100/snapshot", snapname="s1")) == reason
            until(lambda: api.call("PUT", "qemu/100/config", description="yes").status_code == 200)


class TestDestroy:
    def test_a_running_vm_is_refused_at_once(self, either: Api, guest: int) -> None:
        answer = either.call("DELETE", f"qemu/{guest}")
        assert (answer.status_code, answer.reason) == (500, f"VM {guest} is running - destroy failed")

    def test_nothing_is_left(self, either: Api, guest: int) -> None:
        either.stop(guest)
        either.done(either.delete(f"qemu/{guest}", purge=1, **{"destroy-unreferenced-disks": 1}))
        assert not either.disk(guest).exists()
        assert guest not in [row["vmid"] for row in either.get("/cluster/resources", type="vm")]

    def test_a_protected_vm_stays(self, either: Api, guest: int) -> None:
        either.put(f"qemu/{guest}/config", protection=1)
        either.stop(guest)
        assert (
            either.call("DELETE", f"qemu/{guest}").reason
            == f"can't remove VM {guest} - protection mode enabled"
        )


class TestSeparate:
    def test_sandboxed_guests_do_not_see_each_other(self, api: Api) -> None:
        for vmid in (601, 602):
            api.clone(vmid)
            api.start(vmid)
        api.out(601, "echo secret > /workspace/secret; (setsid sleep 1234 >/dev/null 2>&1 &)")
        assert api.out(602, "ls /workspace; ps ax | grep -c '[s]leep 1234' || true") == "0\n"
        assert api.out(601, "hostname") == "Copy-of-VM-autovibe-base\n"

    def test_a_guest_reaches_this_computers_loopback(self, api: Api) -> None:
        api.clone(603)
        api.start(603)
        script = f"import urllib.request as u; print(u.urlopen('{api.node.url}/').status)"
        assert api.out(603, f'python3 -c "{script}"') == "200\n"

    def test_links_that_a_guest_makes_lead_nowhere_on_this_computer(self, api: Api, tmp_path: Path) -> None:
        api.clone(604)
        ours = tmp_path / "ours"
        ours.write_text("")
        tmp_path.chmod(0o700)
        (api.disk(604) / "etc").mkdir()
        (api.disk(604) / "etc/hostname").symlink_to(ours)
        (api.disk(604) / "tmp").symlink_to(tmp_path)
        api.start(604)
        assert (ours.read_text(), tmp_path.stat().st_mode & 0o777) == ("", 0o700)

    @pytest.mark.parametrize("sandbox", [True, False], ids=["sandboxed", "plain"])
    def test_programs_of_a_host_path_are_there(self, tmp_path: Path, sandbox: bool) -> None:
        program = tmp_path / "tools/bin/hello"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\necho hello\n")
        program.chmod(0o755)
        with start_node(tmp_path / "node", sandbox=sandbox, host_path=[tmp_path / "tools"]) as node:
            api = Api(node)
            api.clone(100)
            api.start(100)
            assert api.out(100, "hello") == "hello\n"
            assert not sandbox or api.run(100, f"echo x > {program}")["exitcode"] != 0
