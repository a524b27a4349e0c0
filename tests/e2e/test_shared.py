"""A real conversation through a checkpoint that shares a snapshot: branched from, and gone back to."""

import json
from typing import Any

import pytest

from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e

TRANSCRIPT = "/var/lib/autovibe/vibe/transcript.jsonl"


def transcript(stack: Stack, checkpoint: str) -> list[dict[str, Any]]:
    answer = stack.call("GET", f"checkpoints/{checkpoint}/file/", params={"path": TRANSCRIPT})
    assert answer.ok, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture(scope="module")
def shared(stack: Stack) -> dict[str, Any]:
    """The checkpoint after an agent only looked around. It writes a file then, and ends."""
    handle = stack.spawn("Say hello")
    stack.await_state(handle, "terminated")
    (found,) = [one for one in stack.checkpoints(handle) if one["shares"]]
    return {**found, "machine": handle}


def test_a_turn_that_changed_nothing_shares_the_snapshot_of_the_one_before(stack, shared):
    assert (shared["why"], shared["shares"]) == ("After answer 1", f"{shared['machine']}.c1")
    assert [one["role"] for one in transcript(stack, shared["handle"])] == ["user", "assistant", "user"]


def test_a_branch_goes_on_with_all_of_its_conversation(stack, shared):
    branch = stack.spawn("Write a fizzbuzz with tests", checkpoint=shared["handle"])
    stack.await_state(branch, "terminated")

    first, *_, last = stack.checkpoints(branch)
    before = transcript(stack, shared["handle"])
    begun, ended = transcript(stack, first["handle"]), transcript(stack, last["handle"])
    assert first["shares"] is None
    assert begun[: len(before)] == before
    assert len(begun) == len(before) + 1, "the new prompt follows"
    assert ended[: len(begun)] == begun
    assert not stack.call("GET", f"checkpoints/{last['handle']}/file/", params={"path": "NOTES.md"}).ok


def test_a_return_goes_on_with_all_of_its_conversation(stack, shared):
    stack.post(f"machines/{shared['machine']}/rollback/", {"checkpoint": shared["handle"]})
    stack.await_state(shared["machine"], "running", "terminated")
    stack.await_state(shared["machine"], "terminated")

    last = stack.checkpoints(shared["machine"])[-1]["handle"]
    before, ended = transcript(stack, shared["handle"]), transcript(stack, last)
    assert ended[: len(before)] == before
    assert [one["role"] for one in ended] == (["user", "assistant"] * len(ended))[: len(ended)]
    assert stack.call("GET", f"checkpoints/{last}/file/", params={"path": "NOTES.md"}).ok
