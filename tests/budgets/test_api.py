"""Budgets, resources and the ledger over REST: the same rules for everybody who asks, and sums that agree."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from budgets import actions
from budgets.limits import Holder
from budgets.models import Budget, LedgerEntry
from checkpoints.models import Checkpoint
from projects.models import Project, User
from tests.budgets.conftest import Ask
from tests.budgets.rows import entry
from tests.dashboard import rows

Api = Callable[[str], APIClient]
BUDGETS = "/api/v1/projects/demo/budgets/"
SYSTEM = "/api/v1/budgets/system/"
LEDGER = "/api/v1/projects/demo/ledger/"


@pytest.fixture
def staff(people: dict[str, User]) -> None:
    people["alice"].is_staff = True
    people["alice"].save()


class TestProjectLimits:
    def test_every_part_of_a_limit_can_be_set(self, api: Api, project: Project) -> None:
        asked = {
            "resource": "money", "limit": 5_000_000, "period": "week", "timezone": "Europe/Berlin",
            "carry_over": True, "landing_percent": 20, "marks": [80, 95],
        }  # fmt: skip

        answer = api("alice").put(BUDGETS, asked, format="json")

        (made,) = answer.json()["budgets"]
        assert {name: made[name] for name in asked} == asked
        assert (made["scope"], made["left"], made["percent"]) == ("Project demo", 5_000_000, 0)
        assert made["ends_at"]

    def test_what_is_left_out_stays_as_it_is(self, api: Api, project: Project) -> None:
        alice = api("alice")
        alice.put(
            BUDGETS, {"resource": "money", "limit": 5, "marks": [10], "landing_percent": 7}, format="json"
        )

        (made,) = alice.put(BUDGETS, {"resource": "money", "limit": 9}, format="json").json()["budgets"]

        assert (made["limit"], made["marks"], made["landing_percent"]) == (9, [10], 7)

    def test_a_member_s_limit_is_another_than_the_project_s(
        self, api: Api, project: Project, people: dict[str, User]
    ) -> None:
        alice = api("alice")
        alice.put(BUDGETS, {"resource": "money", "limit": 9}, format="json")
        alice.put(BUDGETS, {"resource": "money", "limit": 4, "member": "bob"}, format="json")

        found = {one["kind"]: one for one in alice.get(BUDGETS).json()["budgets"]}

        assert (found["project"]["limit"], found["member"]["limit"]) == (9, 4)
        assert found["member"]["member_id"] == people["bob"].pk

    def test_the_one_that_is_named_is_lifted(self, api: Api, project: Project) -> None:
        alice = api("alice")
        for period in ("total", "day"):
            alice.put(BUDGETS, {"resource": "calls", "limit": 9, "period": period}, format="json")

        left = alice.delete(f"{BUDGETS}?resource=calls&period=day").json()["budgets"]
        again = alice.delete(f"{BUDGETS}?resource=calls&period=day")

        assert [one["period"] for one in left] == ["total"]
        assert again.status_code == 404
        assert "has no limit of calls per day" in again.json()["detail"]

    @pytest.mark.parametrize(
        "asked",
        [
            {"resource": "gold", "limit": 1},
            {"resource": "money", "limit": -1},
            {"resource": "money", "limit": 1.5},
            {"resource": "money", "limit": 1, "period": "year"},
            {"resource": "money", "limit": 1, "member": "charlie"},
            {"resource": "money", "limit": 1, "timezone": "Mars/Base"},
            {"resource": "money", "limit": 1, "carry_over": True},
            {"resource": "money", "limit": 1, "landing_percent": 80},
            {"resource": "money", "limit": 1, "marks": [0]},
            {"resource": "cpu_seconds", "limit": 1, "period": "minute"},
        ],
    )
    def test_nonsense_is_a_problem_with_a_sentence(
        self, api: Api, project: Project, asked: dict[str, Any]
    ) -> None:
        answer = api("alice").put(BUDGETS, asked, format="json")

        assert answer.status_code == 400
        assert answer.json()["detail"]
        assert not Budget.objects.exists()

    @pytest.mark.parametrize("path", [BUDGETS, "/api/v1/resources/projects/demo/budget/"])
    def test_looking_is_for_members_and_changing_for_owners(
        self, api: Api, project: Project, path: str
    ) -> None:
        asked = {"resource": "money", "limit": 1}
        people = [api(name) for name in ("alice", "bob", "charlie")]

        assert [one.get(path).status_code for one in people] == [200, 200, 404]
        assert [one.put(path, asked, format="json").status_code for one in people] == [200, 403, 404]
        assert [one.delete(f"{path}?resource=money").status_code for one in people[1:]] == [403, 404]
        assert people[0].delete(f"{path}?resource=money").status_code == 200


class TestMachineLimits:
    def test_they_are_set_shown_and_lifted_apart(
        self, api: Api, project: Project, genesis: Checkpoint
    ) -> None:
        machine = rows.machine(project, genesis)
        path = f"/api/v1/machines/{machine.handle}/budgets/"
        rows.budget(project)
        alice, bob = api("alice"), api("bob")

        (made,) = alice.put(path, {"resource": "calls", "limit": 9, "period": "hour"}, format="json").json()[
            "budgets"
        ]

        assert (made["scope"], made["period"]) == (f"Machine {machine.handle}", "hour")
        assert len(bob.get(path).json()["budgets"]) == 1
        assert bob.delete(f"{path}?resource=calls&period=hour").status_code == 403
        assert api("charlie").get(path).status_code == 404
        assert alice.delete(f"{path}?resource=calls&period=hour").json()["budgets"] == []


class TestSystemLimits:
    def test_they_are_for_staff(self, api: Api, project: Project) -> None:
        answers = [api("alice").get(SYSTEM), api("alice").put(SYSTEM, {}), api("alice").delete(SYSTEM)]

        assert [one.status_code for one in answers] == [403, 403, 403]

    @pytest.mark.usefixtures("staff")
    def test_staff_set_and_lift_them(self, api: Api, project: Project) -> None:
        alice = api("alice")
        made = alice.put(SYSTEM, {"resource": "money", "limit": 7, "period": "month"}, format="json").json()

        assert [one["limit"] for one in made["budgets"]] == [7]
        assert alice.delete(f"{SYSTEM}?resource=money&period=month").json()["budgets"] == []


class TestResources:
    def test_the_overview_has_what_each_visible_project_used(
        self, api: Api, project: Project, people: dict[str, User]
    ) -> None:
        rows.budget(project, 9_000_000)
        now = timezone.now()
        LedgerEntry.objects.bulk_create([entry(project, now, 5), entry(project, now - timedelta(days=3), 40)])

        mine, theirs = (api(who).get("/api/v1/resources/overview/").json() for who in ("bob", "charlie"))

        (one,) = mine["projects"]
        assert (one["project"], one["today"]["micros"], one["used"]["micros"]) == ("demo", 5, 45)
        assert [budget["limit"] for budget in one["budgets"]] == [9_000_000]
        assert theirs == {"system": [], "projects": []}

    @pytest.mark.usefixtures("staff")
    def test_staff_see_the_limits_of_everything_there(self, api: Api, project: Project) -> None:
        actions.change_limit(Holder.of_system(), "money", 3, by=None)

        assert len(api("alice").get("/api/v1/resources/overview/").json()["system"]) == 1
        assert api("bob").get("/api/v1/resources/overview/").json()["system"] == []

    def test_a_project_is_cut_every_way_and_adds_up(
        self, api: Api, project: Project, genesis: Checkpoint, ask: Ask
    ) -> None:
        rows.budget(project)
        machine = rows.machine(project, genesis, type="shell")
        now = timezone.now()
        LedgerEntry.objects.bulk_create(
            [entry(project, now, 5, machine_id=machine.id), entry(project, now, 40, label="gpt-5")]
        )
        ask("call:1", machine_id=machine.id)

        found = api("bob").get("/api/v1/resources/projects/demo/?days=7").json()

        assert found["used"]["micros"] == 45
        for cut in ("models", "types", "machines", "members", "days"):
            assert sum(part["used"]["micros"] for part in found[cut]) == 45
            assert sum(part["used"]["cached_tokens"] for part in found[cut]) == 8200
        assert {part["name"] for part in found["types"]} == {"shell", ""}
        (hold,) = found["holds"]
        assert (hold["machine"], hold["held"]["money"]) == (machine.handle, 200)
        assert found["budgets"][0]["forecast"] is None

    def test_a_limit_with_a_past_has_a_forecast(self, api: Api, project: Project) -> None:
        window = rows.budget(project, 20_000_000, spent_micros=15_000_000).windows.get()
        now = timezone.now()
        LedgerEntry.objects.bulk_create(
            entry(
                project,
                now - timedelta(days=day, minutes=1),
                1_500_000,
                windows=[window.pk],
                amounts=[1_500_000],
            )
            for day in range(10)
        )

        (one,) = api("bob").get("/api/v1/resources/projects/demo/").json()["budgets"]

        assert one["forecast"]["risk"] > 0.9
        assert all(one["forecast"]["runs_out"])
        assert one["forecast"]["consumed"]["low"] <= one["forecast"]["consumed"]["high"]

    @pytest.mark.parametrize("query", ["days=0", "days=x", "days=9999"])
    def test_a_span_that_is_none_is_refused(self, api: Api, project: Project, query: str) -> None:
        assert api("bob").get(f"/api/v1/resources/projects/demo/?{query}").status_code == 400

    def test_outsiders_find_nothing(self, api: Api, project: Project) -> None:
        assert api("charlie").get("/api/v1/resources/projects/demo/").status_code == 404


class TestLedger:
    def test_pages_follow_each_other(self, api: Api, project: Project) -> None:
        LedgerEntry.objects.bulk_create(entry(project, timezone.now(), number) for number in range(5))

        seen, address = [], f"{LEDGER}?page_size=2"
        while address:
            page = api("bob").get(address).json()
            seen += [one["micros"] for one in page["results"]]
            address = page["next"]

        assert seen == [4, 3, 2, 1, 0]

    def test_entries_name_machine_and_member_and_are_filtered(
        self, api: Api, project: Project, genesis: Checkpoint, alice: User
    ) -> None:
        machine = rows.machine(project, genesis)
        now = timezone.now()
        entry(project, now, 7, machine_id=machine.id, member_id=alice.pk).save()
        entry(project, now - timedelta(days=2), 8, label="gpt-5").save()

        (one,) = api("bob").get(f"{LEDGER}?machine={machine.handle}").json()["results"]
        (other,) = api("bob").get(f"{LEDGER}?model=gpt-5&kind=usage").json()["results"]
        today = api("bob").get(f"{LEDGER}?day={now:%Y-%m-%d}").json()["results"]

        assert (one["machine"], one["member"], one["cached_tokens"]) == (machine.handle, "alice", 4100)
        assert other["micros"] == 8
        assert [found["micros"] for found in today] == [7]

    @pytest.mark.parametrize(
        ("path", "accept"), [(LEDGER, "text/csv"), ("/api/v1/projects/demo/ledger.csv", "application/json")]
    )
    def test_it_is_a_csv_file_for_whoever_asks_for_one(
        self, api: Api, project: Project, path: str, accept: str
    ) -> None:
        entry(project, timezone.now(), 12_300).save()

        answer = api("bob").get(path, headers={"Accept": accept})
        lines = b"".join(answer).decode().splitlines()

        assert answer["Content-Type"].startswith("text/csv")
        assert lines[0].startswith("id,time,kind,machine,member,for,cost,currency,calls")
        assert "0.012300,USD,1" in lines[1]

    @pytest.mark.parametrize("query", ["kind=theft", "day=yesterday", "before=x", "page_size=5000"])
    def test_nonsense_is_a_problem(self, api: Api, project: Project, query: str) -> None:
        answer = api("bob").get(f"{LEDGER}?{query}")

        assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")

    def test_of_the_last_of_all_days_there_is_nothing(self, api: Api, project: Project) -> None:
        entry(project, timezone.now()).save()

        assert api("bob").get(f"{LEDGER}?day=9999-12-31").json()["results"] == []

    def test_a_problem_is_json_even_to_who_wanted_csv(self, api: Api, project: Project) -> None:
        answer = api("charlie").get(LEDGER, headers={"Accept": "text/csv"})

        assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")

    def test_a_machine_that_one_may_not_see_is_not_found(self, api: Api, project: Project) -> None:
        assert api("bob").get(f"{LEDGER}?machine=m999").status_code == 404
