"""`autovibe calls`, `call`, `replay` and `project recording`."""

from typing import Any

from tests.cli.conftest import Cli
from tests.cli.recorded import Recorded

CALL: dict[str, Any] = {
    "number": 3,
    "model": "claude-sonnet-4-5",
    "upstream": "anthropic",
    "state": "done",
    "error": "",
    "input_tokens": 1_000,
    "cached_tokens": 20_000,
    "cache_write_tokens": 234,
    "output_tokens": 56,
    "cost_micros": 1_234,
    "duration_ms": 1_500,
    "stall_ms": 0,
    "recorded": "full",
    "replayed": None,
    "departure": None,
}
SAID = {
    "call": CALL,
    "request": '{"model":"m"}',
    "response": "event: ping\n\n",
    "content_type": "text/event-stream",
}
MACHINE = {"handle": "m13"}


class TestCalls:
    def test_each_call_is_a_row_oldest_first(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET machines/m12/calls/", {"results": [CALL, {**CALL, "number": 2}], "next": None})
        done = cli("calls", "m12")

        assert done.returncode == 0, done.stderr
        rows = [line.split() for line in done.stdout.splitlines()[1:]]
        assert [row[0] for row in rows] == ["2", "3"]
        assert rows[1][1:] == [
            *["done", "claude-sonnet-4-5", "1,234", "20,000", "56", "0.001234", "anthropic"],
            *["1.5s", "0.0s", "full"],
        ]

    def test_a_replay_shows_where_answers_came_from_and_where_it_departed(
        self, server: Recorded, cli: Cli
    ) -> None:
        replayed = {**CALL, "replayed": 7, "departure": "Call 3 departs from call 7 of m12: …"}
        server.answer("GET machines/m13/calls/", {"results": [replayed], "next": None})
        done = cli("calls", "m13")

        assert "call 7" in done.stdout
        assert "3: Call 3 departs" in done.stderr


class TestCall:
    def test_both_sides_are_shown(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET machines/m12/calls/3/", SAID)
        done = cli("call", "m12", "3")

        assert '"model": "m"' in done.stdout
        assert "Answered (text/event-stream):" in done.stdout

    def test_one_side_is_printed_as_it_was(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET machines/m12/calls/3/", SAID)

        assert cli("call", "m12", "3", "--request").stdout == SAID["request"]
        assert cli("call", "m12", "3", "--response").stdout == SAID["response"]


class TestReplay:
    def test_it_asks_for_what_was_said_and_names_the_new_machine(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST machines/m12/replay/", MACHINE, status=202)
        done = cli("replay", "m12", "--lenient")

        assert server.asked[0].body == {"lenient": True, "pace": False}
        assert server.asked[0].headers["Idempotency-Key"]
        assert "m13 replays m12." in done.stdout
        assert "machine watch m13" in done.stderr

    def test_a_refusal_is_a_sentence(self, server: Recorded, cli: Cli) -> None:
        server.refuse("POST machines/m12/replay/", 409, "Call 2 of m12 is not in the record.")
        done = cli("replay", "m12")

        assert (done.returncode, "not in the record" in done.stderr) == (1, True)


class TestRecording:
    def test_it_is_shown(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET projects/demo/recording/", {"mode": "full", "days": 14})

        assert "14 days" in cli("project", "recording", "demo").stdout

    def test_it_is_set(self, server: Recorded, cli: Cli) -> None:
        server.answer("PUT projects/demo/recording/", {"mode": "redacted", "days": 7})
        cli("project", "recording", "demo", "redacted", "--days", "7")

        assert server.asked[0].body == {"mode": "redacted", "days": 7}

    def test_days_alone_are_not_enough(self, server: Recorded, cli: Cli) -> None:
        assert cli("project", "recording", "demo", "--days", "7").returncode == 2
        assert server.asked == []
