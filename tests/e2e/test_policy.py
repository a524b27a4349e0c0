"""Checkpoints by policy, in real processes: before a tool that the agent is about to use, and only then."""

import pytest

from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def kept(stack: Stack) -> list[dict[str, object]]:
    """What a machine left that keeps checkpoints before it runs tests, and at no call."""
    handle = stack.spawn(
        "Write a fizzbuzz with tests and make them pass",
        checkpoints={"calls": 0, "before": ["unittest|pytest"]},
    )
    stack.await_state(handle, "terminated")
    return stack.checkpoints(handle)


def test_there_is_one_before_every_run_of_the_tests_and_one_at_the_end(kept):
    *before, last = kept
    assert len(before) >= 2
    assert all(one["why"].startswith("Before ") and "test" in one["why"] for one in before)
    assert last["kind"] == "final"


def test_each_is_captured_with_its_files(kept):
    assert {one["state"] for one in kept} == {"captured"}
    assert all(one["files"] for one in kept)
