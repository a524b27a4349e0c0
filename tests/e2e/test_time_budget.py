"""A budget of time: a machine is kept and paused before it is over, and goes on by itself when there is more."""

from typing import Any

import pytest

from tests.e2e.stack import Stack, eventually

pytestmark = pytest.mark.e2e

SECONDS = 16


def time_of(stack: Stack) -> dict[str, Any]:
    budgets = stack.get("projects/demo/budgets/")["budgets"]
    (found,) = [one for one in budgets if one["resource"] == "wall_seconds"]
    return found


def allow(stack: Stack, seconds: int) -> None:
    body = {"resource": "wall_seconds", "limit": seconds}
    assert stack.call("PUT", "projects/demo/budgets/", json=body).ok


def test_a_machine_is_paused_just_before_its_time_is_over_and_goes_on_when_there_is_more(
    stack: Stack,
) -> None:
    allow(stack, SECONDS)
    handle = stack.spawn("for n in $(seq 1 18); do echo $n; sleep 1; done", "shell")
    stack.await_state(handle, "running")
    held = time_of(stack)
    assert (held["reserved"], held["spent"]) == (SECONDS, 0)

    paused = stack.await_state(handle, "paused")

    assert paused["paused_for"] == "budget"
    assert f"of its {SECONDS} seconds left" in paused["sentence"]
    kept = stack.checkpoints(handle)[-1]
    assert (kept["why"], kept["state"]) == ("The budget ended", "captured")
    used = eventually(lambda: (one := time_of(stack))["reserved"] == 0 and one, what="its time to be settled")
    assert SECONDS - 8 <= used["spent"] <= SECONDS
    assert used["overrun"] == 0

    allow(stack, 120)

    assert stack.await_state(handle, "terminated")["exit_code"] == 0
    lines = stack.get(f"machines/{handle}/log/")["lines"]
    assert [line["text"] for line in lines if line["stream"] == "out"] == [str(n) for n in range(1, 19)]
    used = eventually(lambda: (one := time_of(stack))["reserved"] == 0 and one, what="its time to be settled")
    assert 16 <= used["spent"] <= 40
