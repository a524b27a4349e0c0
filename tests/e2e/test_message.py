"""Saying something to an agent, in real processes: heard once, in the same conversation, and in the receipt."""

import json
import subprocess

import pytest

from tests.e2e.stack import ROOT, Stack, eventually

pytestmark = pytest.mark.e2e

PROMPT = "Write a fizzbuzz with tests and make them pass"
MORE = "Now make it buzz at 7"
SAID = f"admin said: {MORE}"


def log(stack: Stack, handle: str) -> list[str]:
    return [line["text"] for line in stack.get(f"machines/{handle}/log/", limit=2000)["lines"]]


def said(stack: Stack, handle: str) -> dict[str, object]:
    (one,) = stack.get(f"machines/{handle}/")["messages"]
    return dict(one)


def has_answered(stack: Stack, handle: str) -> None:
    eventually(lambda: stack.get(f"machines/{handle}/calls/")["results"], what="a model call")


@pytest.fixture(scope="module")
def told(stack: Stack) -> str:
    """A machine that was told more while it worked, and ran to its end."""
    handle = stack.spawn(PROMPT)
    has_answered(stack, handle)
    answer = stack.post(f"machines/{handle}/message/", {"text": MORE})
    assert answer["state"] == "pending"
    stack.await_state(handle, "terminated")
    return handle


class TestWhileItWorks:
    def test_the_agent_hears_it_when_it_has_ended_its_turn(self, stack: Stack, told: str) -> None:
        lines = log(stack, told)
        heard = lines.index(SAID)

        assert any("finished after" in line for line in lines[:heard])
        assert any("finished after" in line for line in lines[heard:])
        assert lines.count(SAID) == 1
        assert said(stack, told)["state"] == "delivered"

    def test_it_goes_on_with_the_same_files_and_conversation(self, stack: Stack, told: str) -> None:
        last = stack.checkpoints(told)[-1]["handle"]
        found = stack.call("GET", f"checkpoints/{last}/file/", params={"path": "fizzbuzz.py"}).text

        assert "7" in found
        assert "The end of a turn, before what was said" in [one["why"] for one in stack.checkpoints(told)]

    def test_its_receipt_is_verified_without_the_server(self, stack: Stack, told: str) -> None:
        file = stack.home / "receipt.json"
        receipt = stack.get(f"machines/{told}/receipt/")
        file.write_text(json.dumps(receipt))

        command = [str(ROOT / "bin" / "autovibe"), "receipt", "verify", str(file)]
        done = subprocess.run(
            [*command, "--key", receipt["head"]["key"]], capture_output=True, text=True, check=False
        )

        assert done.returncode == 0, done.stdout
        kinds = [entry["kind"] for entry in receipt["entries"]]
        assert kinds.count("call") == len(stack.get(f"machines/{told}/calls/", page_size=200)["results"])
        (diff,) = (entry for entry in receipt["entries"] if entry["kind"] == "diff")
        assert "fizzbuzz.py" in [change["path"] for change in diff["files"]]
        (money,) = (
            one for one in stack.get("projects/demo/budgets/")["budgets"] if one["resource"] == "money"
        )
        (totals,) = (entry for entry in receipt["entries"] if entry["kind"] == "totals")
        assert totals["micros"] == money["spent"] > 0


class TestNow:
    def test_a_running_agent_is_interrupted_and_started_again_with_it(self, stack: Stack) -> None:
        handle = stack.spawn(PROMPT)
        has_answered(stack, handle)

        stack.post(f"machines/{handle}/message/", {"text": MORE, "now": True})
        stack.await_state(handle, "terminated")

        assert said(stack, handle)["state"] == "delivered"
        assert log(stack, handle).count(SAID) == 1
        assert "Before what admin said" in [one["why"] for one in stack.checkpoints(handle)]


class TestPaused:
    def test_it_is_heard_on_return(self, stack: Stack) -> None:
        handle = stack.spawn(PROMPT)
        has_answered(stack, handle)
        stack.post(f"machines/{handle}/pause/", {})
        stack.await_state(handle, "paused")

        stack.post(f"machines/{handle}/message/", {"text": MORE})
        assert said(stack, handle)["state"] == "pending"
        stack.post(f"machines/{handle}/resume/", {})
        stack.await_state(handle, "terminated")

        assert said(stack, handle)["state"] == "delivered"
        assert log(stack, handle).count(SAID) == 1
