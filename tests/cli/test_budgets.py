"""`budget`, `resources` and `ledger`: what is typed, what is sent, what is shown."""

from typing import Any

import pytest

from budgets.models import Budget, Window
from budgets.resources import Period, Resource
from budgets.sentences import command
from projects.models import Project
from tests.cli.conftest import Cli
from tests.cli.recorded import Recorded, budget

BUDGETS = {
    "currency": "EUR",
    "budgets": [
        budget(spent=10_000_000, reserved=2_500_000, left=7_500_000),
        budget(scope="Member bob of demo", resource="memory_mb_seconds", period="week", limit=36_000_000,
               spent=5_400_000, left=30_600_000, ends_at="2025-05-12T00:00:00Z"),
    ],
}  # fmt: skip
USED = {
    "micros": 1_234_500, "calls": 12, "input_tokens": 900, "cached_tokens": 41_000, "cache_write_tokens": 100,
    "output_tokens": 400, "wall_seconds": 5400, "cpu_seconds": 60, "memory_mb_seconds": 0,
    "storage_mb_seconds": 0, "network_bytes": 0, "assumed": 0,
}  # fmt: skip
ENTRY = {
    "id": 7, "created_at": "2025-05-06T07:08:09Z", "kind": "usage", "machine": "m12", "member": "bob",
    "label": "claude-sonnet-4-5", **USED, "price_version": "genai-prices 1", "actor": "", "key": "call:1/usage",
    "reservation_id": None, "windows": [1], "amounts": [1_234_500],
}  # fmt: skip


class TestShow:
    def test_each_limit_is_shown_in_its_own_unit(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET projects/demo/budgets/", BUDGETS)

        money, memory = cli("budget", "show", "demo").stdout.splitlines()[1:]

        assert "Project demo" in money
        assert "for good" in money
        assert "20.00 EUR 10.00 EUR 2.50 EUR 7.50 EUR" in " ".join(money.split())
        assert "[##########---       ]" in money
        assert "per week" in memory
        assert "10 GB-hours 1.5 GB-hours 0 GB-hours 8.5 GB-hours" in " ".join(memory.split())

    def test_the_system_and_a_machine_have_addresses_of_their_own(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET budgets/system/", BUDGETS)
        server.answer("GET machines/m12/budgets/", BUDGETS)

        assert cli("budget", "show", "system").returncode == 0
        assert cli("budget", "show", "demo", "--machine", "m12").returncode == 0
        assert [one.path for one in server.asked] == ["budgets/system/", "machines/m12/budgets/"]


class TestSet:
    @pytest.mark.parametrize(
        ("typed", "sent"),
        [
            ("money 2.50", {"resource": "money", "limit": 2_500_000}),
            ("money 10", {"resource": "money", "limit": 10_000_000}),
            ("calls 60 --per minute", {"resource": "calls", "limit": 60, "period": "minute"}),
            ("wall 1h30m", {"resource": "wall_seconds", "limit": 5400}),
            ("wall_seconds 5400", {"resource": "wall_seconds", "limit": 5400}),
            ("memory 1.5", {"resource": "memory_mb_seconds", "limit": 5_400_000}),
            ("network 0.25", {"resource": "network_bytes", "limit": 250_000_000}),
            (
                "money 5 --member bob --per week --timezone Europe/Berlin --carry-over --landing 10 --marks 80,95",
                {"resource": "money", "limit": 5_000_000, "member": "bob", "period": "week",
                 "timezone": "Europe/Berlin", "carry_over": True, "landing_percent": 10, "marks": [80, 95]},
            ),
            ("money 5 --no-carry-over", {"resource": "money", "limit": 5_000_000, "carry_over": False}),
        ],
    )  # fmt: skip
    def test_it_sends_what_was_said_and_nothing_else(
        self, server: Recorded, cli: Cli, typed: str, sent: dict[str, Any]
    ) -> None:
        server.answer("PUT projects/demo/budgets/", BUDGETS)

        done = cli("budget", "set", "demo", *typed.split())

        assert done.returncode == 0, done.stderr
        assert server.asked[0].body == sent

    def test_a_machine_s_own_is_set_apart_from_its_project_s(self, server: Recorded, cli: Cli) -> None:
        server.answer("PUT machines/m12/budgets/", BUDGETS)

        assert cli("budget", "set", "demo", "calls", "6", "--machine", "m12").returncode == 0
        assert [one.path for one in server.asked] == ["machines/m12/budgets/"]

    @pytest.mark.parametrize(
        "typed",
        ["demo money 1 --member bob --machine m12", "system money 1 --machine m12", "demo memory x", "demo calls 1.5",
         "demo money 1 --per year", "demo gold 1"],
    )  # fmt: skip
    def test_what_makes_no_sense_is_not_sent(self, server: Recorded, cli: Cli, typed: str) -> None:
        assert cli("budget", "set", *typed.split()).returncode == 2
        assert server.asked == []


class TestRemove:
    def test_it_says_which_one_and_shows_the_rest(self, server: Recorded, cli: Cli) -> None:
        server.answer("DELETE projects/demo/budgets/", BUDGETS)
        server.answer("GET projects/demo/budgets/", BUDGETS)

        done = cli("budget", "remove", "demo", "cpu", "--per", "day", "--member", "bob")

        assert done.returncode == 0, done.stderr
        assert server.asked[0].query == {"resource": "cpu_seconds", "period": "day", "member": "bob"}
        assert "Member bob of demo" in done.stdout


class TestWhatRefusalsSuggest:
    """The command in a refusal's sentence can be pasted as it is."""

    @pytest.mark.parametrize(
        ("resource", "holder", "scope"),
        [
            *((resource, "project:1", "Project demo") for resource in Resource.values),
            ("money", "system", "The whole system"),
            ("money", "member:1:2", "Member bob of demo"),
            ("money", "machine:1", "Machine m12"),
        ],
    )
    def test_it_is_understood_and_makes_room(
        self, server: Recorded, cli: Cli, resource: str, holder: str, scope: str
    ) -> None:
        for path in ("projects/demo/budgets/", "budgets/system/", "machines/m12/budgets/"):
            server.answer(f"PUT {path}", BUDGETS)
        rule = Budget(holder=holder, scope=scope, resource=resource, period=Period.WEEK, limit=1_000_000)
        window = Window(budget=rule, holder=holder, resource=resource, limit=1_000_000, spent=900_000)

        said = command(window, Project(slug="demo", currency="EUR"), {resource: 700_000})
        done = cli(*said.removeprefix("bin/autovibe ").split())

        assert done.returncode == 0, done.stderr
        sent = server.asked[0].body
        assert (sent["resource"], sent["period"]) == (resource, "week")
        assert sent["limit"] >= 1_000_000 + 700_000 - 100_000
        assert sent.get("member") == ("bob" if holder.startswith("member") else None)


class TestResources:
    def test_everything_at_a_glance(self, server: Recorded, cli: Cli) -> None:
        one = {
            "project": "demo",
            "currency": "EUR",
            "today": USED,
            "used": USED,
            "budgets": BUDGETS["budgets"],
        }
        server.answer("GET resources/overview/", {"system": [], "projects": [one]})

        shown = cli("resources").stdout

        assert "demo: 1.2345 EUR today, 1.2345 EUR in 30 days" in shown
        assert "[##########---       ]" in shown

    def test_one_project_cut_every_way_with_its_sum(self, server: Recorded, cli: Cli) -> None:
        part = [{"name": "claude-sonnet-4-5", "used": USED}]
        hold = {"key": "k", "what": "gpt-5", "machine": "m12", "held": {"money": 250_000},
                "created_at": "2025-05-06T07:08:09Z", "expires_at": "2025-05-06T07:08:09Z"}  # fmt: skip
        server.answer(
            "GET resources/projects/demo/",
            {"project": "demo", "currency": "EUR", "used": USED, "models": part, "types": part, "machines": part,
             "members": [], "days": [], "budgets": [], "holds": [hold]},
        )  # fmt: skip

        done = cli("resources", "demo", "--days", "7")

        assert server.asked[0].query == {"days": "7"}
        assert "41,000" in done.stdout
        assert "SUM" in done.stdout
        assert "Held for gpt-5 of m12: 0.25 EUR" in done.stderr


class TestLedger:
    def test_entries_are_a_table_and_the_filter_is_the_api_s(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET projects/demo/ledger/", {"results": [ENTRY], "next": None, "searched_to": None})
        server.answer("GET projects/demo/", {"currency": "EUR"})

        done = cli("ledger", "show", "demo", "--machine", "m12", "--kind", "usage")

        assert server.asked[0].query == {"kind": "usage", "machine": "m12", "page_size": "50"}
        assert "1.2345 EUR" in done.stdout
        assert "1,000  41,000" in done.stdout

    def test_pages_are_followed_up_to_the_limit(self, server: Recorded, cli: Cli) -> None:
        following = "https://else.where/api/v1/projects/demo/ledger/?before=7&page_size=2"
        server.answer(
            "GET projects/demo/ledger/",
            {"results": [ENTRY, ENTRY], "next": following, "searched_to": None},
            {"results": [ENTRY], "next": None, "searched_to": None},
        )
        server.answer("GET projects/demo/", {"currency": "EUR"})

        done = cli("ledger", "show", "demo", "--limit", "3")

        assert len(done.stdout.splitlines()) == 4
        assert server.asked[1].query["before"] == "7"

    def test_an_export_is_what_the_server_sent_byte_for_byte(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET projects/demo/ledger/", "id,time\r\n1,ü\r\n".encode())

        done = cli("ledger", "export", "demo", "--day", "2025-05-06")

        assert done.stdout.splitlines() == ["id,time", "1,ü"]
        assert server.asked[0].headers["Accept"] == "text/csv"
        assert server.asked[0].query == {"day": "2025-05-06"}
