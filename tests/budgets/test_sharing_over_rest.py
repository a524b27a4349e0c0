"""Transfers, pools, greediness, prices and re-rating over REST: owners act, members look, outsiders see nothing."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from rest_framework.test import APIClient

from budgets import actions, book, ledger, prices, sharing
from budgets.models import LedgerEntry, Rerating, Transfer
from budgets.prices import Usage, price_of
from projects import actions as projects
from projects.models import Project, User
from projects.roles import Role

MODEL = "claude-sonnet-4-5"
Api = Callable[[str], APIClient]


@pytest.fixture(autouse=True)
def _closed_book() -> Iterator[None]:
    yield
    prices.use(prices.Book())


@pytest.fixture
def mine(project: Project, alice: User) -> Project:
    """Alice's, with 1,000; Bob looks on."""
    actions.set_limit(project, "money", 1000, by=alice)
    return project


@pytest.fixture
def other(mine: Project, people: dict[str, User]) -> Project:
    """Bob's, with 500; Alice looks on."""
    made = projects.create(slug="other", by=people["bob"])
    projects.admit(made, people["alice"], Role.VIEWER, by=people["bob"])
    actions.set_limit(made, "money", 500, by=people["bob"])
    return made


@pytest.fixture
def staff(people: dict[str, User], api: Api) -> APIClient:
    """Charlie, who is in no project."""
    people["charlie"].is_staff = True
    people["charlie"].save()
    return api("charlie")


def sent(answer: Any, status: int = 200) -> Any:
    assert answer.status_code == status, answer.content
    return answer.json() if answer.content else None


OFFER = {"giver": "demo", "taker": "other", "resource": "money", "amount": 300, "note": "for tests"}


class TestTransfers:
    def test_one_side_proposes_and_the_other_accepts(self, mine: Project, other: Project, api: Api) -> None:
        made = sent(api("alice").post("/api/v1/transfers/", OFFER), 201)
        assert (made["state"], made["waits_for"], made["proposed_by"]) == ("pending", "other", "alice")
        done = sent(api("bob").post(f"/api/v1/transfers/{made['id']}/accept/"))
        assert (done["state"], done["waits_for"], done["decided_by"]) == ("made", None, "bob")
        limits = [sent(api("alice").get(f"/api/v1/projects/{slug}/budgets/")) for slug in ("demo", "other")]
        assert [found["budgets"][0]["limit"] for found in limits] == [700, 800]

    @pytest.mark.parametrize(
        ("verb", "who", "state"), [("decline", "bob", "declined"), ("withdraw", "alice", "withdrawn")]
    )
    def test_or_it_comes_to_nothing(
        self, mine: Project, other: Project, api: Api, verb: str, who: str, state: str
    ) -> None:
        made = sent(api("alice").post("/api/v1/transfers/", OFFER), 201)
        assert sent(api(who).post(f"/api/v1/transfers/{made['id']}/{verb}/"))["state"] == state
        again = api(who).post(f"/api/v1/transfers/{made['id']}/{verb}/")
        assert (again.status_code, again.json()["detail"]) == (409, "This transfer has been decided already.")

    def test_the_list_is_of_what_one_may_see(self, mine: Project, other: Project, api: Api) -> None:
        sent(api("alice").post("/api/v1/transfers/", OFFER), 201)
        for who, seen in (("alice", 1), ("bob", 1), ("charlie", 0)):
            assert len(sent(api(who).get("/api/v1/transfers/"))["results"]) == seen
        assert len(sent(api("bob").get("/api/v1/transfers/?project=other&state=pending"))["results"]) == 1
        assert not sent(api("bob").get("/api/v1/transfers/?state=made"))["results"]

    def test_outsiders_find_nothing_and_members_may_not(
        self, mine: Project, other: Project, people: dict[str, User], api: Api
    ) -> None:
        assert api("charlie").post("/api/v1/transfers/", OFFER).status_code == 404
        made = sent(api("alice").post("/api/v1/transfers/", OFFER), 201)
        assert api("charlie").post(f"/api/v1/transfers/{made['id']}/accept/").status_code == 404
        assert api("alice").post(f"/api/v1/transfers/{made['id']}/accept/").status_code == 403
        for one in (mine, other):
            projects.admit(one, people["charlie"], Role.OPERATOR, by=people["alice"])
        assert api("charlie").post("/api/v1/transfers/", OFFER).status_code == 403

    def test_the_same_key_is_the_same_proposal_of_the_same_person(
        self, mine: Project, other: Project, api: Api
    ) -> None:
        key = {"HTTP_IDEMPOTENCY_KEY": "k"}
        first = sent(api("alice").post("/api/v1/transfers/", OFFER, **key), 201)
        assert sent(api("alice").post("/api/v1/transfers/", OFFER, **key), 201)["id"] == first["id"]
        assert sent(api("bob").post("/api/v1/transfers/", OFFER, **key), 201)["id"] != first["id"]
        assert Transfer.objects.count() == 2


class TestGreediness:
    def test_an_owner_sets_it(self, mine: Project, api: Api) -> None:
        answer = api("alice").put("/api/v1/projects/demo/greediness/", {"greediness": "0.7"})
        assert sent(answer)["greediness"] == "0.70"
        assert sent(api("bob").get("/api/v1/projects/demo/"))["greediness"] == "0.70"

    @pytest.mark.parametrize(("who", "value", "status"), [
        ("bob", "0.7", 403), ("charlie", "0.7", 404),
        ("alice", "1.1", 400), ("alice", "-1", 400), ("alice", "0.555", 400),
    ])  # fmt: skip
    def test_nobody_else_does_nor_anything_else(
        self, mine: Project, api: Api, who: str, value: str, status: int
    ) -> None:
        answer = api(who).put("/api/v1/projects/demo/greediness/", {"greediness": value})
        assert answer.status_code == status


class TestPools:
    def test_are_for_staff(self, mine: Project, api: Api) -> None:
        for answer in (
            api("alice").get("/api/v1/pools/"),
            api("alice").put("/api/v1/pools/house/", {"amount": 5}),
            api("alice").put("/api/v1/pools/house/projects/demo/"),
        ):
            assert answer.status_code == 403

    def test_are_made_shared_dealt_and_shown(
        self, mine: Project, other: Project, staff: APIClient, alice: User
    ) -> None:
        made = sent(staff.put("/api/v1/pools/house/", {"amount": 1_000_000, "min_percent": 5}))
        assert (made["timezone"], made["projects"], made["shares"]) == ("UTC", [], [])
        for slug in ("demo", "other"):
            sent(staff.put(f"/api/v1/pools/house/projects/{slug}/"))
        projects.set_greediness(mine, Decimal("0.75"), by=alice)
        sharing.deal(lambda ids: {})
        (shown,) = sent(staff.get("/api/v1/pools/"))["results"]
        assert [(one["project"], one["share"], one["sentence"]) for one in shown["shares"]] == [
            ("demo", 600_000, "0.75 × 1 of 1.25 → 0.60 USD"),
            ("other", 400_000, "0.5 × 1 of 1.25 → 0.40 USD"),
        ]
        assert sent(staff.get("/api/v1/pools/house/")) == shown

    def test_a_project_is_taken_out_and_the_pool_removed(self, mine: Project, staff: APIClient) -> None:
        sent(staff.put("/api/v1/pools/house/", {"amount": 5}))
        sent(staff.put("/api/v1/pools/house/projects/demo/"))
        sent(staff.delete("/api/v1/pools/house/projects/demo/"), 204)
        assert staff.delete("/api/v1/pools/house/projects/demo/").status_code == 409
        sent(staff.delete("/api/v1/pools/house/"), 204)
        for path in ("pools/house/", "pools/house/projects/demo/"):
            assert staff.delete(f"/api/v1/{path}").status_code == 404

    def test_it_refuses_what_is_no_pool(self, mine: Project, staff: APIClient) -> None:
        for wrong in (
            {},
            {"amount": -1},
            {"amount": 5, "timezone": "Mars"},
            {"amount": 5, "min_percent": 101},
        ):
            assert staff.put("/api/v1/pools/house/", wrong).status_code == 400
        assert staff.put("/api/v1/pools/none/projects/demo/").status_code == 404


class TestPrices:
    def test_everybody_sees_what_a_model_costs_and_why(self, mine: Project, api: Api) -> None:
        found = sent(api("bob").get(f"/api/v1/prices/{MODEL}/"))
        assert (found["source"], found["currency"]) == ("list", "USD")
        assert found["tiers"][0]["rates"]["cache_read"] == "0.3"
        assert sent(api("bob").get("/api/v1/prices/autovibe-offline/"))["source"] == "invented"

    def test_a_model_without_a_price_says_how_to_give_it_one(self, mine: Project, api: Api) -> None:
        unknown = api("bob").get("/api/v1/prices/house/model/")
        assert unknown.status_code == 404
        assert "bin/autovibe price set MODEL --input 3 --output 15" in unknown.json()["detail"]

    def test_staff_enter_and_withdraw_it(self, mine: Project, staff: APIClient) -> None:
        asked = {"model": "house/model", "input": "3", "output": "15.50", "note": "ours"}
        sent(staff.post("/api/v1/prices/", asked), 201)
        found = sent(staff.get("/api/v1/prices/house/model/"))
        assert (found["source"], found["tiers"][0]["rates"]["output"]) == ("book", "15.5")
        assert "book" in found["version"]
        (page,) = sent(staff.get("/api/v1/prices/"))["results"]
        assert (page["prices"], page["actor"]) == ({"input": "3", "output": "15.5"}, "charlie")
        sent(staff.delete("/api/v1/prices/house/model/"), 204)
        assert staff.get("/api/v1/prices/house/model/").status_code == 404
        assert staff.delete("/api/v1/prices/house/model/").status_code == 409

    def test_nobody_else_does(self, mine: Project, api: Api) -> None:
        asked = {"model": MODEL, "input": "0", "output": "0"}
        assert api("alice").post("/api/v1/prices/", asked).status_code == 403
        assert api("alice").delete(f"/api/v1/prices/{MODEL}/").status_code == 403

    def test_what_is_no_price_is_refused(self, mine: Project, staff: APIClient) -> None:
        for rates in ({"input": "3"}, {"input": "x", "output": "1"}, {"input": "-3", "output": "1"}):
            assert staff.post("/api/v1/prices/", {"model": MODEL, **rates}).status_code == 400


@pytest.fixture
def charged(mine: Project, alice: User) -> dict[str, str]:
    """A call of 1,000 tokens in and 200 out was charged, and the price doubled since; the span it lies in."""
    since = timezone.now() - timedelta(seconds=5)
    actions.set_limit(mine, "money", 50_000, by=alice)
    grant = actions.reserve_call(
        "call", payer=actions.Payer(mine.id), price=price_of(MODEL), input_tokens=2000, output_tokens=200, seconds=60
    )  # fmt: skip
    assert isinstance(grant, actions.Grant)
    assert actions.settle(grant.reservation_id, Usage(1000, output_tokens=200), price_of(MODEL)) == 6000
    book.enter(MODEL, {"input": "6", "output": "30"}, by=alice)
    return {"since": since.isoformat(), "until": timezone.now().isoformat()}


class TestReratings:
    def test_staff_look_first_and_then_do_it(
        self, staff: APIClient, mine: Project, charged: dict[str, str]
    ) -> None:
        found = sent(staff.post("/api/v1/ledger/reratings/", {**charged, "dry_run": True}))
        assert (found["entries"], found["micros"]) == (1, 6000)
        assert not Rerating.objects.exists()
        made = sent(staff.post("/api/v1/ledger/reratings/", {**charged, "project": "demo"}), 201)
        assert (made["entries"], made["micros"], made["project"], made["actor"]) == (
            1,
            6000,
            "demo",
            "charlie",
        )
        assert sent(staff.get("/api/v1/ledger/reratings/"))["results"] == [made]
        assert not ledger.verify()

    def test_nobody_else_does(self, api: Api, mine: Project, charged: dict[str, str]) -> None:
        assert api("alice").post("/api/v1/ledger/reratings/", charged).status_code == 403
        assert api("alice").get("/api/v1/ledger/reratings/").status_code == 403

    def test_the_future_is_refused(self, staff: APIClient, charged: dict[str, str]) -> None:
        ahead = (timezone.now() + timedelta(days=1)).isoformat()
        for dry in (True, False):
            asked = {**charged, "until": ahead, "dry_run": dry}
            assert staff.post("/api/v1/ledger/reratings/", asked).status_code == 400


class TestManage:
    def test_it_looks_and_then_does_it(
        self, mine: Project, charged: dict[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        span = [f"--since={charged['since']}", f"--until={charged['until']}", "--project=demo"]
        call_command("ledger", "rerate", *span, "--dry-run")
        assert "1 entries would be corrected by 0.006 USD in all" in capsys.readouterr().out
        call_command("ledger", "rerate", *span)
        assert "1 entries were corrected by 0.006 USD in all" in capsys.readouterr().out
        assert LedgerEntry.objects.filter(kind="rerating").count() == 1

    def test_it_says_what_it_cannot_do(self, mine: Project) -> None:
        with pytest.raises(CommandError, match="no project 'none'"):
            call_command("ledger", "rerate", "--since=2031-05-06", "--project=none")
        with pytest.raises(CommandError, match="A span of the past"):
            call_command("ledger", "rerate", "--since=2131-05-06")
        with pytest.raises(CommandError, match="--since"):
            call_command("ledger", "rerate", "--since=yesterday")
