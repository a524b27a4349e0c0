"""`transfer`, `request`, `pool`, `price` and `project greediness`: what is typed, what is sent, what is shown."""

from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.cli.recorded import Recorded

AT = "2025-05-06T07:08:09Z"
TRANSFER = {
    "id": 7, "giver": "demo", "taker": "other", "resource": "money", "period": "total", "amount": 5_000_000,
    "currency": "EUR", "note": "for tests", "state": "pending", "waits_for": "other", "proposed_by": "alice",
    "created_at": AT, "decided_by": None, "decided_at": None,
}  # fmt: skip
REQUEST = {
    "id": 9, "project": "demo", "currency": "EUR", "scope": "Machine m12", "resource": "memory_mb_seconds",
    "period": "day", "amount": 7_200_000, "reason": "It grows.", "machine": "m12", "automatic": True,
    "state": "pending", "asked_by": None, "created_at": AT, "granted": None, "answer": "", "decided_by": None,
    "decided_at": None,
}  # fmt: skip
RATES = {
    "input": "3", "cache_read": "0.3", "cache_write": "3.75", "cache_write_1h": "6", "output": "15",
    "web_search": "0",
}  # fmt: skip
PRICE = {
    "model": "gpt-4o", "source": "book", "version": "genai-prices 1 + book 4", "currency": "USD",
    "tiers": [{"above_tokens": 0, "rates": RATES}, {"above_tokens": 200_000, "rates": {**RATES, "input": "6"}}],
}  # fmt: skip
POOL = {
    "name": "house", "amount": 100_000_000, "timezone": "Europe/Berlin", "min_percent": 5, "max_percent": 60,
    "adjust": True, "projects": ["demo", "other"],
    "shares": [{"project": "demo", "sentence": "0.7 × 1.2 of 2.9 → 28.97 USD"}],
}  # fmt: skip


class TestTransfer:
    @pytest.mark.parametrize(
        ("typed", "sent"),
        [
            ("demo other money 5", {"resource": "money", "amount": 5_000_000, "period": "total", "note": ""}),
            (
                "demo other wall 90m --per day --note x",
                {"resource": "wall_seconds", "amount": 5400, "period": "day", "note": "x"},
            ),
        ],
    )  # fmt: skip
    def test_propose_sends_amounts_in_the_api_s_unit(
        self, server: Recorded, cli: Cli, typed: str, sent: dict[str, Any]
    ) -> None:
        server.answer("POST transfers/", TRANSFER, status=201)

        done = cli("transfer", "propose", *typed.split())

        assert server.asked[0].body == {"giver": "demo", "taker": "other", **sent}
        assert done.stdout == "Transfer 7 waits for an owner of other.\n"

    @pytest.mark.parametrize(
        ("verb", "state"), [("accept", "made"), ("decline", "declined"), ("withdraw", "withdrawn")]
    )
    def test_it_is_decided_by_its_number(self, server: Recorded, cli: Cli, verb: str, state: str) -> None:
        server.answer(f"POST transfers/7/{verb}/", {**TRANSFER, "state": state, "waits_for": None})

        assert cli("transfer", verb, "7").stdout == f"Transfer 7 is {state}.\n"

    def test_list_shows_whom_it_waits_for(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET transfers/", {"results": [TRANSFER], "next": None})

        shown = cli("transfer", "list", "demo", "--state", "pending").stdout

        assert server.asked[0].query == {"project": "demo", "state": "pending", "page_size": "50"}
        assert "7 pending demo other money 5.00 EUR other" in " ".join(shown.split())

    @pytest.mark.parametrize(
        "typed", ["propose demo other money x", "propose demo other gold 1", "accept seven"]
    )
    def test_what_makes_no_sense_is_not_sent(self, server: Recorded, cli: Cli, typed: str) -> None:
        assert cli("transfer", *typed.split()).returncode == 2
        assert server.asked == []


class TestRequest:
    @pytest.mark.parametrize(
        ("typed", "whose"),
        [
            ("demo memory 2 --reason big", {"project": "demo"}),
            ("demo memory 2 --machine m12 --reason big", {"machine": "m12"}),
        ],
    )
    def test_ask_is_for_a_project_or_a_machine(
        self, server: Recorded, cli: Cli, typed: str, whose: dict[str, str]
    ) -> None:
        server.answer("POST budget-requests/", REQUEST, status=201)

        said = cli("request", "ask", *typed.split()).stdout

        assert server.asked[0].body == {
            **whose, "resource": "memory_mb_seconds", "amount": 7_200_000, "period": "total", "reason": "big",
        }  # fmt: skip
        assert said == (
            "Request 9 for 2 GB-hours more of memory_mb_seconds (Machine m12) waits for an owner of demo.\n"
        )

    def test_grant_takes_another_amount_in_the_unit_of_what_was_asked(
        self, server: Recorded, cli: Cli
    ) -> None:
        granted = {**REQUEST, "state": "granted", "granted": 3_600_000}
        server.answer("GET budget-requests/9/", REQUEST)
        server.answer("POST budget-requests/9/grant/", granted)

        said = cli("request", "grant", "9", "--amount", "1", "--answer", "half").stdout

        assert server.requests("POST budget-requests/9/grant/")[0].body == {
            "amount": 3_600_000,
            "answer": "half",
        }
        assert said == "Request 9 is granted: 1 GB-hours more of memory_mb_seconds (Machine m12).\n"

    def test_grant_without_an_amount_is_for_all_of_it(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST budget-requests/9/grant/", {**REQUEST, "state": "granted", "granted": 7_200_000})

        assert cli("request", "grant", "9").returncode == 0
        assert [one.body for one in server.asked] == [{"answer": ""}]

    @pytest.mark.parametrize(("verb", "state"), [("deny", "denied"), ("withdraw", "withdrawn")])
    def test_it_comes_to_nothing(self, server: Recorded, cli: Cli, verb: str, state: str) -> None:
        server.answer(f"POST budget-requests/9/{verb}/", {**REQUEST, "state": state})

        assert cli("request", verb, "9").stdout == f"Request 9 is {state}.\n"

    def test_list_shows_who_asks_for_what_and_why(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET budget-requests/", {"results": [REQUEST], "next": None})

        shown = " ".join(cli("request", "list").stdout.split())

        assert "9 pending Machine m12 memory_mb_seconds per day 2 GB-hours m12" in shown
        assert "It grows." in shown


class TestPrice:
    def test_set_sends_what_was_said(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST prices/", PRICE, status=201)

        done = cli(
            "price", "set", "gpt-4o", "--input", "3", "--cache-read", "0.3", "--output", "15", "--note", "x"
        )

        assert done.returncode == 0, done.stderr
        assert server.asked[0].body == {
            "model": "gpt-4o", "input": "3", "cache_read": "0.3", "output": "15", "note": "x",
        }  # fmt: skip

    def test_what_a_refused_call_suggests_is_understood(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST prices/", PRICE, status=201)

        assert cli("price", "set", "MODEL", "--input", "3", "--output", "15").returncode == 0
        assert cli("price", "set", "MODEL", "--input", "3").returncode == 2

    def test_show_has_a_line_per_tier_and_says_where_it_comes_from(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET prices/house%2Fmodel/", PRICE)

        done = cli("price", "show", "house/model")

        assert "0 tokens 3 0.3 3.75 6 15 0" in " ".join(done.stdout.split())
        assert "200,000 tokens 6" in " ".join(done.stdout.split())
        assert "from the price book (genai-prices 1 + book 4)" in done.stderr

    def test_list_shows_what_was_entered(self, server: Recorded, cli: Cli) -> None:
        page = {"id": 4, "model": "gpt-4o", "prices": {"input": "3", "output": "15"}, "note": "x", "actor": "alice",
                "created_at": AT}  # fmt: skip
        server.answer(
            "GET prices/", {"version": "genai-prices 1 + book 4", "currency": "USD", "results": [page]}
        )

        assert "gpt-4o 3 - - - 15 - alice x" in " ".join(cli("price", "list").stdout.split())

    def test_withdraw_says_so(self, server: Recorded, cli: Cli) -> None:
        server.answer("DELETE prices/gpt-4o/", b"", status=204)

        assert "says nothing of gpt-4o any more" in cli("price", "withdraw", "gpt-4o").stderr


class TestPool:
    @pytest.mark.parametrize(
        ("typed", "sent"),
        [
            ("100", {}),
            ("100 --adjust --min 5 --max 60", {"adjust": True, "min_percent": 5, "max_percent": 60}),
            ("100 --no-adjust --timezone Europe/Berlin", {"adjust": False, "timezone": "Europe/Berlin"}),
        ],
    )
    def test_set_sends_what_was_said_and_nothing_else(
        self, server: Recorded, cli: Cli, typed: str, sent: dict[str, Any]
    ) -> None:
        server.answer("PUT pools/house/", POOL)

        assert cli("pool", "set", "house", *typed.split()).returncode == 0
        assert server.asked[0].body == {"amount": 100_000_000, **sent}

    def test_list_shows_how_each_share_came_about(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET pools/", {"results": [POOL]})

        shown = cli("pool", "list").stdout

        assert (
            "house: 100.00 USD a day (Europe/Berlin), 5 to 60 % each, adjusted by what they achieve" in shown
        )
        assert "0.7 × 1.2 of 2.9 → 28.97 USD" in shown
        assert "is dealt its part within seconds" in shown

    def test_projects_are_added_and_removed(self, server: Recorded, cli: Cli) -> None:
        server.answer("PUT pools/house/projects/demo/", POOL)
        server.answer("DELETE pools/house/projects/demo/", b"", status=204)
        server.answer("DELETE pools/house/", b"", status=204)

        assert cli("pool", "add", "house", "demo").returncode == 0
        assert "Removed demo from house." in cli("pool", "remove", "house", "demo").stderr
        assert "Removed house." in cli("pool", "remove", "house").stderr


class TestGreediness:
    def test_it_is_shown_and_set(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET projects/demo/", {"slug": "demo", "greediness": "0.50"})
        server.answer("PUT projects/demo/greediness/", {"slug": "demo", "greediness": "0.70"})

        assert cli("project", "greediness", "demo").stdout == "Greediness of demo: 0.50\n"
        assert cli("project", "greediness", "demo", "0.7").stdout == "Greediness of demo: 0.70\n"
        assert server.asked[1].body == {"greediness": "0.7"}
