"""When checkpoints are taken, their price, and what is not undone: what is sent, and what is shown."""

from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.cli.recorded import Recorded, machine

RULES: dict[str, Any] = {
    "project": "demo",
    "policy": {"calls": 5},
    "retention": {},
    "effective": [{"type": "vibe", "summary": "every 5 calls, before risky tools", "policy": {}}],
}
PUSH = {
    "origin": "machine:x",
    "call_number": 4,
    "kind": "push",
    "summary": "git push origin main",
    "at": "2031-05-06",
}
RULES_OF_DEMO = "projects/demo/checkpoint-rules/"


class TestProject:
    def test_what_holds_is_shown(self, server: Recorded, cli: Cli) -> None:
        server.answer(f"GET {RULES_OF_DEMO}", RULES)
        shown = cli("project", "checkpoints", "demo").stdout
        assert "demo: calls=5" in shown
        assert "every 5 calls, before risky tools" in shown
        assert [one.method for one in server.asked] == ["GET"]

    @pytest.mark.parametrize(
        ("typed", "sent"),
        [
            ("--minutes 10", {"calls": 5, "minutes": 10}),
            ("--calls 0 --percent 5", {"calls": 0, "percent": 5}),
            ("--before rm --before usual", {"calls": 5, "before": ["rm", "usual"]}),
            (
                "--after-files yes --skip no --ram no",
                {"calls": 5, "after_files": True, "skip": False, "ram": False},
            ),
            ("--durable 10 --timing after_response", {"calls": 5, "durable": 10, "timing": "after_response"}),
            ("--as-types", {}),
        ],
    )
    def test_what_is_said_is_laid_over_what_was(
        self, server: Recorded, cli: Cli, typed: str, sent: dict[str, Any]
    ) -> None:
        server.answer(f"GET {RULES_OF_DEMO}", RULES)
        server.answer(f"PUT {RULES_OF_DEMO}", RULES)
        done = cli("project", "checkpoints", "demo", *typed.split())
        assert done.returncode == 0, done.stderr
        assert server.requests(f"PUT {RULES_OF_DEMO}")[0].body == {"policy": sent}

    def test_both_at_once_is_no_answer(self, server: Recorded, cli: Cli) -> None:
        done = cli("project", "checkpoints", "demo", "--as-types", "--calls", "5")
        assert done.returncode == 2
        assert "say nothing else with it" in done.stderr


class TestSpawning:
    @pytest.mark.parametrize(
        ("typed", "sent"),
        [
            ("none", "none"),
            ("calls=5,minutes=10", {"calls": 5, "minutes": 10}),
            (
                "before=,after_files=yes,durable=final",
                {"before": [], "after_files": True, "durable": "final"},
            ),
        ],
    )
    def test_a_policy_of_its_own_is_sent(self, server: Recorded, cli: Cli, typed: str, sent: object) -> None:
        server.answer("POST machines/", machine(), status=202)
        done = cli("spawn", "--project", "demo", "--type", "vibe", "--checkpoints", typed, "Do it.")
        assert done.returncode == 0, done.stderr
        assert server.asked[0].body["checkpoints"] == sent

    def test_without_one_nothing_is_said(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST machines/", machine(), status=202)
        cli("spawn", "--project", "demo", "--type", "vibe", "Do it.")
        assert "checkpoints" not in server.asked[0].body

    def test_what_is_no_policy_is_refused_here(self, server: Recorded, cli: Cli) -> None:
        done = cli("spawn", "--project", "demo", "--type", "vibe", "--checkpoints", "often", "Do it.")
        assert done.returncode == 2
        assert "neither of every_call, none, nor NAME=VALUE" in done.stderr


class TestNotUndone:
    def test_a_rollback_tells_it_before(self, server: Recorded, cli: Cli) -> None:
        preview = {
            "checkpoint": "m12.c3",
            "possible": True,
            "sentence": "",
            "currency": "USD",
            "fallback": None,
        }
        server.answer("GET machines/m12/rollback/", {**preview, "not_undone": [PUSH]})
        server.answer("POST machines/m12/rollback/", {"id": "1", "verb": "rollback"}, status=202)
        done = cli("rollback", "m12", "m12.c3")
        assert done.returncode == 0, done.stderr
        assert "Not undone by this, 1 thing done outside the guest since" in done.stderr
        assert "push: git push origin main" in done.stderr

    def test_a_branch_tells_it_too(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST checkpoints/m12.c3/branch/", {**machine(), "not_undone": [PUSH] * 30}, status=202)
        done = cli("branch", "m12.c3", "Do it.")
        assert "30 things done" in done.stderr
        assert "… and 10 more" in done.stderr


class TestMemory:
    PREVIEW = "GET machines/m12/checkpoint/"
    PRICE = {
        "possible": True,
        "bytes": 4_819_255_296,
        "sentence": "Only this machine can return to the memory.",
    }

    def test_nobody_is_there_to_hear_the_price(self, server: Recorded, cli: Cli) -> None:
        server.answer(self.PREVIEW, {"policy": "every call", "ram": self.PRICE})
        done = cli("checkpoint", "take", "m12", "--ram")
        assert done.returncode == 2
        assert "Say --yes" in done.stderr
        assert not server.requests("POST machines/m12/checkpoint/")

    def test_with_yes_it_is_taken(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST machines/m12/checkpoint/", {"handle": "m12.c4"}, status=202)
        done = cli("checkpoint", "take", "m12", "--ram", "--yes")
        assert done.returncode == 0, done.stderr
        assert server.asked[0].body == {"why": "", "ram": True}

    def test_where_it_is_not_possible_the_reason_is_told(self, server: Recorded, cli: Cli) -> None:
        refusal = {"possible": False, "bytes": 0, "sentence": "Guests of the embedded node are processes."}
        server.answer(self.PREVIEW, {"policy": "every call", "ram": refusal})
        done = cli("checkpoint", "take", "m12", "--ram")
        assert done.returncode == 2
        assert "Guests of the embedded node are processes." in done.stderr
