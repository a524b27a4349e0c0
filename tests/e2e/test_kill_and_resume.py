"""An agent that dies with its guest after a call goes on from the checkpoint of that call, and finishes the job."""

import json
from collections import Counter
from typing import Any

import psycopg
import pytest

from tests.e2e.stack import Stack, eventually

pytestmark = pytest.mark.e2e

PROMPT = "Write a fizzbuzz with tests and make them pass"
SETTINGS = {"OFFLINE_MODEL_LATENCY_SECONDS": "0.5"}
TRANSCRIPT = "/var/lib/autovibe/vibe/transcript.jsonl"
CALLS = 2  # after so many the guest dies


@pytest.fixture(
    params=[
        pytest.param("", id="nothing else", marks=pytest.mark.whole),
        "worker",
        pytest.param("hub", marks=pytest.mark.whole),
    ],
    scope="module",
)
def machine(request, stack: Stack) -> dict[str, Any]:
    """One that has gone through it; `part` is killed while it is put back."""
    handle = stack.spawn(PROMPT)
    target = eventually(lambda: captured(stack, handle), what=f"the checkpoint after call {CALLS}")
    stack.switch_off(handle)
    before = transcript(stack, target)
    asked = stack.post(f"machines/{handle}/rollback/", {"checkpoint": target})["created_at"]
    if request.param:
        stack.kill(request.param)
        stack.start(request.param)
    eventually(lambda: stack.get(f"machines/{handle}/")["state"] != "restoring", seconds=90)
    ended = stack.await_state(handle, "terminated", seconds=120)
    after = transcript(stack, stack.checkpoints(handle)[-1]["handle"])
    return {**ended, "asked": asked, "before": before, "after": after}


def captured(stack: Stack, handle: str) -> str:
    """The checkpoint in which that many answers are, once it can be returned to."""
    found = [one for one in stack.checkpoints(handle) if one["why"] == f"After answer {CALLS}"]
    return str(found[0]["handle"]) if found and found[0]["state"] == "captured" else ""


def transcript(stack: Stack, checkpoint: str) -> list[dict[str, Any]]:
    response = stack.call("GET", f"checkpoints/{checkpoint}/file/", params={"path": TRANSCRIPT})
    assert response.ok, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def turns(messages: list[dict[str, Any]]) -> int:
    return sum(message["role"] == "assistant" for message in messages)


class TestAnAgentThatDiedWithItsGuest:
    def test_it_finishes_the_job(self, stack, machine):
        last = stack.checkpoints(machine["handle"])[-1]["handle"]
        program = stack.call("GET", f"checkpoints/{last}/file/", params={"path": "fizzbuzz.py"}).text
        said = stack.get(f"machines/{machine['handle']}/log/", limit=2000)["lines"]

        assert machine["exit_code"] == 0
        assert "def " in program
        assert "OK" in [line["text"].strip() for line in said]

    def test_its_transcript_goes_on_where_the_checkpoint_has_it(self, machine):
        before, after = machine["before"], machine["after"]

        assert turns(before) == CALLS
        assert after[: len(before)] == before
        assert turns(after) > CALLS

    def test_its_transcript_has_no_hole_and_nothing_twice(self, machine):
        messages = machine["after"]

        assert [one["role"] for one in messages] == (["user", "assistant"] * len(messages))[: len(messages)]
        for asking, answering in zip(messages[1::2], messages[2::2], strict=False):
            asked = [block["id"] for block in asking["content"] if block["type"] == "tool_use"]
            answered = [
                block["tool_use_id"] for block in answering["content"] if block["type"] == "tool_result"
            ]
            assert asked == answered
        used = [b["id"] for one in messages for b in one["content"] if b["type"] == "tool_use"]
        assert len(used) == len(set(used))

    def test_no_call_is_charged_twice(self, stack, machine):
        with psycopg.connect(stack.environment["DATABASE_URL"]) as connection:
            charged = connection.execute(
                "SELECT reservation_id, sum(calls) FROM budgets_ledgerentry "
                "WHERE machine_id = %s AND kind IN ('usage', 'assumed') AND calls > 0 GROUP BY reservation_id",
                [machine["id"]],
            ).fetchall()
        made = stack.get(f"machines/{machine['handle']}/calls/", page_size=200)["results"]

        assert Counter(count for _, count in charged) == {1: len(charged)}
        # One that was under way when its guest died may have come to no answer.
        assert turns(machine["after"]) <= len(charged) <= len(made)
        stack.manage("ledger", "verify")  # raises when the sums do not agree

    def test_only_what_died_with_the_guest_is_made_again(self, stack, machine):
        made = stack.get(f"machines/{machine['handle']}/calls/", page_size=200)["results"]
        before = [one for one in made if one["started_at"] < machine["asked"]]  # it was off by then

        assert len(made) == turns(machine["after"]) + len(before) - CALLS


class TestABranchWithoutAPrompt:
    def test_it_goes_on_with_what_its_source_was_doing(self, stack):
        handle = stack.spawn(PROMPT)
        source = eventually(lambda: captured(stack, handle), what=f"the checkpoint after call {CALLS}")

        branch = stack.post(f"checkpoints/{source}/branch/")["handle"]
        stack.await_state(branch, "terminated", seconds=120)

        before, after = transcript(stack, source), transcript(stack, stack.checkpoints(branch)[-1]["handle"])
        assert after[: len(before)] == before
        assert [one for one in after[len(before) :] if one["role"] == "user" and _is_prompt(one)] == []
        assert turns(after) > CALLS


def _is_prompt(message: dict[str, Any]) -> bool:
    return any(block["type"] == "text" for block in message["content"])
