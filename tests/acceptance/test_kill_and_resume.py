"""The real Claude Code, whose guest dies in the middle of its work, goes on from a checkpoint and finishes it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.acceptance import script
from tests.acceptance.session import Provider, Session
from tests.e2e.stack import Stack, eventually

pytestmark = pytest.mark.e2e

AGENT = "claude-code"
CALLS = 6  # what the script takes
DIES_AFTER = 2

Entry = dict[str, Any]


@pytest.fixture(scope="module")
def session(stack: Stack, provider: Provider) -> Session:
    """One whose guest lost its power, and that was put back to its checkpoint after that call."""
    session = Session(stack, provider, AGENT)
    target = eventually(lambda: _captured(stack, session.handle), seconds=90, what="the checkpoint")
    stack.switch_off(session.handle)
    session.died_at = datetime.now(UTC).isoformat()
    stack.post(f"machines/{session.handle}/rollback/", {"checkpoint": target})
    path = f"machines/{session.handle}/"
    eventually(lambda: stack.get(path)["state"] != "restoring", seconds=90, what="it to be back")
    return session.ends()


def _captured(stack: Stack, handle: str) -> str:
    wanted = [one for one in stack.checkpoints(handle) if one["why"] == f"After answer {DIES_AFTER}"]
    return str(wanted[0]["handle"]) if wanted and wanted[0]["state"] == "captured" else ""


def test_it_finishes_the_job(session):
    assert "return a + b" in session.read("calc.py")
    assert script.MESSAGE in session.read(".git/logs/HEAD")


def test_its_conversation_has_no_hole_and_nothing_twice(stack, session):
    history = _history(stack, session)
    said = [entry for entry in history if entry.get("type") in {"user", "assistant"}]
    keys = [entry["uuid"] for entry in history if "uuid" in entry]

    assert len(keys) == len(set(keys))
    assert {entry["parentUuid"] for entry in said} - {None} <= set(keys)
    assert [entry for entry in said if entry["parentUuid"] is None] == said[:1]
    asked = [block["id"] for block in _blocks(said, "tool_use")]
    answered = [block["tool_use_id"] for block in _blocks(said, "tool_result")]
    assert asked == answered
    assert len(asked) == len(set(asked)) == CALLS - 1


def test_every_call_is_charged_once_and_only_what_died_with_the_guest_was_made_again(stack, session):
    made = stack.get(f"machines/{session.handle}/calls/", page_size=100)["results"]
    before = [one for one in made if one["started_at"] < session.died_at]

    assert session.ledger == session.books
    assert len(made) == CALLS + len(before) - DIES_AFTER
    assert CALLS <= session.ledger.total() <= len(made)
    assert session.held == 0
    stack.manage("ledger", "verify")  # raises when the sums do not agree


def _history(stack: Stack, session: Session) -> list[Entry]:
    """Claude Code's own history file, as the last checkpoint has it."""
    last = stack.checkpoints(session.handle)[-1]["handle"]
    path = stack.get(f"checkpoints/{last}/")["transcript"]
    return [json.loads(line) for line in session.read(path).splitlines()]


def _blocks(said: list[Entry], kind: str) -> list[dict[str, Any]]:
    contents = [entry["message"]["content"] for entry in said]
    return [block for one in contents if isinstance(one, list) for block in one if block["type"] == kind]
