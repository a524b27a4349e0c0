"""What machines may not overrun: their disk, their time; and what is called off before it began."""

from datetime import UTC, datetime

import pytest

from tests.e2e.stack import Stack, eventually

pytestmark = pytest.mark.e2e

NODE = ("--disk-gib", "1", "--disk-check-seconds", "0.5", "--boot-seconds", "2")


def test_an_agent_that_fills_its_disk_fails_with_a_sentence_and_is_switched_off(stack: Stack) -> None:
    handle = stack.spawn("echo kept > small; head -c 1300M /dev/zero > big; sleep 60", "shell")

    machine = eventually(
        lambda: (m := stack.get(f"machines/{handle}/"))["state"] == "failed" and m, seconds=60
    )

    assert "disk is full" in machine["sentence"]
    eventually(
        lambda: stack.get(f"machines/{handle}/")["power"] == "stopped", what="the guest to be switched off"
    )


@pytest.mark.whole
def test_an_agent_that_hangs_is_ended_when_its_time_is_up(stack: Stack) -> None:
    handle = stack.spawn("trap '' TERM; while true; do sleep 1; done", "shell", wall_seconds=10)

    machine = eventually(
        lambda: (m := stack.get(f"machines/{handle}/"))["state"] == "failed" and m, seconds=90
    )

    assert "Stopped after 10 s" in machine["sentence"]
    assert stack.checkpoints(handle)[-1]["state"] == "captured"


def test_time_that_a_machine_is_paused_does_not_count(stack: Stack) -> None:
    handle = stack.spawn("for i in 1 2 3; do echo $i; sleep 1; done", "shell", wall_seconds=10)
    stack.await_state(handle, "running")
    stack.post(f"machines/{handle}/pause/")
    paused = stack.await_state(handle, "paused")
    eventually(lambda: _seconds_since(paused["run_started_at"]) > 10, what="its limit to pass")

    stack.post(f"machines/{handle}/resume/")

    assert stack.await_state(handle, "terminated")["exit_code"] == 0


def _seconds_since(moment: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()


def test_a_machine_that_is_terminated_while_it_boots_is_called_off_and_its_guest_goes(stack: Stack) -> None:
    handle = stack.spawn("sleep 600", "shell")
    eventually(
        lambda: stack.get(f"machines/{handle}/")["state"] == "provisioning", what="it to be provisioned"
    )

    stack.post(f"machines/{handle}/terminate/")

    stack.await_state(handle, "terminated")
    eventually(lambda: stack.get(f"machines/{handle}/")["power"] == "absent", what="the guest to be gone")
    assert stack.checkpoints(handle) == []
