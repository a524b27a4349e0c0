"""Asking for more, and sharing a pool, in real processes: the hub sees to both by itself."""

import pytest

from tests.e2e.stack import Stack, eventually

pytestmark = pytest.mark.e2e

PROMPT = "Write a fizzbuzz with tests and make them pass"


def test_a_machine_without_budget_asks_for_it_and_goes_on_once_it_is_granted(stack: Stack) -> None:
    handle = stack.spawn(PROMPT, limits={"calls": 2})
    paused = stack.await_state(handle, "paused")

    def asked() -> dict[str, object] | None:
        found = stack.get("budget-requests/", state="pending")["results"]
        return next((one for one in found if one["machine"] == handle), None)

    request = eventually(asked, what="the machine to ask")
    assert (request["scope"], request["resource"], request["automatic"]) == (
        f"Machine {handle}",
        "calls",
        True,
    )
    assert request["reason"] == paused["sentence"]

    stack.post(f"budget-requests/{request['id']}/grant/", {"amount": 50}, expect=200)

    assert stack.await_state(handle, "terminated")["exit_code"] == 0


def test_a_pool_is_dealt_out_within_seconds_and_again_when_greediness_changes(stack: Stack) -> None:
    assert stack.call("PUT", "pools/house/", json={"amount": 30_000_000}).ok
    try:
        assert stack.call("PUT", "pools/house/projects/demo/").ok

        def shares() -> list[str]:
            return [share["sentence"] for share in stack.get("pools/house/")["shares"]]

        eventually(lambda: shares() == ["0.5 × 1 of 0.5 → 30.00 USD"], what="the pool to be dealt out")
        (dealt,) = [one for one in stack.get("projects/demo/budgets/")["budgets"] if one["period"] == "day"]
        assert dealt["limit"] == 30_000_000

        assert stack.call("PUT", "projects/demo/greediness/", json={"greediness": "0.9"}).ok
        eventually(lambda: shares() == ["0.9 × 1 of 0.9 → 30.00 USD"], what="it to be dealt out anew")
    finally:
        assert stack.call("DELETE", "pools/house/").ok
    assert not [one for one in stack.get("projects/demo/budgets/")["budgets"] if one["period"] == "day"]
