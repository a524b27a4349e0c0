"""Claude Code's stream of events, as a log; the events are shortened from what Claude Code 2.1.330 wrote."""

import json
import subprocess
import sys
from typing import Any

from tests.guest.conftest import PROGRAMS

CALL = {
    "type": "tool_use",
    "id": "toolu_1",
    "name": "Bash",
    "input": {"command": "pytest -q\n", "description": "Test"},
}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "\n".join(map(str, range(20)))}
EVENTS: list[dict[str, Any]] = [
    {"type": "system", "subtype": "init", "session_id": "ccd8629e", "model": "claude-sonnet-4-5"},
    {"type": "assistant", "message": {"content": [{"type": "text", "text": "I run the tests."}]}},
    {"type": "assistant", "message": {"content": [CALL]}},
    {"type": "user", "message": {"content": [RESULT]}},
]


def logged(*events: dict[str, Any] | str) -> tuple[int, list[str]]:
    lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
    command = [sys.executable, str(PROGRAMS / "claude_log.py")]
    done = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()


class TestLog:
    def test_it_shows_what_was_said_done_and_found(self) -> None:
        code, lines = logged(*EVENTS, {"type": "result", "is_error": False, "num_turns": 2})
        assert code == 0
        assert lines[:3] == [
            "claude: session ccd8629e · claude-sonnet-4-5",
            "claude: I run the tests.",
            "claude: Bash `pytest -q ⏎ `",
        ]
        assert lines[3:5] == ["    0", "    1"]
        assert "    … 12 lines …" in lines
        assert lines[-1] == "claude: finished after 2 turns"

    def test_a_failure_is_said_and_is_one(self) -> None:
        sentence = "API Error: 402 The budget of this machine is used up."
        code, lines = logged(*EVENTS, {"type": "result", "is_error": True, "result": sentence})
        assert (code, lines[-1]) == (1, f"claude: failed: {sentence}")

    def test_an_end_without_a_result_is_a_failure(self) -> None:
        assert logged(*EVENTS)[0] == 1

    def test_what_is_no_event_is_passed_on(self) -> None:
        assert "Segmentation fault" in logged("Segmentation fault")[1]
