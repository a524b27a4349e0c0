"""Setting, changing, raising and lifting limits: what is asked first, what happens, and who may."""

import re

import pytest

from budgets import actions
from budgets.limits import Holder
from budgets.models import Budget, Window
from checkpoints.models import Checkpoint
from projects import actions as projects
from projects.models import Project, User
from tests.dashboard import rows
from tests.dashboard.conftest import Browser

NEW = "/budgets/limits/new/"
USUAL = {"landing_percent": "5", "marks": "50, 75, 90", "timezone": "UTC"}


@pytest.fixture
def budget(project: Project) -> Budget:
    return rows.budget(project, 20_000_000, spent_micros=12_000_000, reserved_micros=1_000_000)


def at(budget: Budget, what: str = "") -> str:
    return f"/budgets/limits/{budget.pk}/{what}"


class TestSetting:
    def send(
        self, browser: Browser, who: str = "alice", project: str = "demo", **typed: str
    ) -> tuple[int, str]:
        response = browser(who).post(
            f"{NEW}?project={project}" if project else NEW,
            {"holder": "project", "resource_name": "money", "period_name": "total"} | USUAL | typed,
        )
        return response.status_code, response.content.decode()

    @pytest.mark.parametrize(
        ("typed", "kind", "resource", "period", "limit"),
        [
            ({"amount": "2.50"}, "project", "money", "total", 2_500_000),
            ({"amount": "1,000", "resource_name": "calls", "period_name": "day"}, "project", "calls", "day", 1000),
            ({"amount": "1.5", "resource_name": "memory_mb_seconds"}, "project", "memory_mb_seconds", "total",
             5_400_000),
            ({"amount": "90m", "resource_name": "wall_seconds", "holder": "member:bob"}, "member", "wall_seconds",
             "total", 5400),
        ],
    )  # fmt: skip
    def test_it_takes_amounts_in_the_units_people_use(
        self,
        browser: Browser,
        project: Project,
        typed: dict[str, str],
        kind: str,
        resource: str,
        period: str,
        limit: int,
    ) -> None:
        status, _ = self.send(browser, **typed)

        made = Budget.objects.get()
        assert status == 302
        assert (made.kind, made.resource, made.period, made.limit) == (kind, resource, period, limit)

    def test_it_takes_how_the_limit_works(self, browser: Browser, project: Project) -> None:
        self.send(browser, amount="1", period_name="week", timezone="Europe/Berlin", carry_over="on",
                  landing_percent="20", marks="95, 80 %")  # fmt: skip

        made = Budget.objects.get()
        assert (made.timezone, made.carry_over, made.landing_percent) == ("Europe/Berlin", True, 20)
        assert made.marks == [80, 95]

    @pytest.mark.parametrize(("resource", "kept"), [("money", 5), ("wall_seconds", 0)])
    def test_time_keeps_nothing_back_unless_that_is_said(
        self, browser: Browser, project: Project, resource: str, kept: int
    ) -> None:
        self.send(browser, amount="600", resource_name=resource, landing_percent="")

        assert Budget.objects.get().landing_percent == kept

    def test_a_machine_s_limit_is_of_that_machine(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        machine = rows.machine(project, genesis)

        self.send(browser, amount="1", holder="machine", machine=machine.handle)

        made = Budget.objects.get()
        assert (made.machine_id, made.scope) == (machine.id, f"Machine {machine.handle}")

    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            ({"amount": "ten"}, "is not an amount"),
            ({"amount": "2,50"}, "is not an amount"),
            ({"amount": "1", "marks": "50, 200"}, "per cents from 1 to 100"),
            ({"amount": "1", "timezone": "Mars/Base"}, "There is no time zone"),
            ({"amount": "1", "holder": "machine", "machine": "m999"}, "There is no machine"),
            ({"amount": "1", "holder": "member:charlie"}, "is no member of demo"),
            ({"amount": "1", "carry_over": "on"}, "Only what an hour, day, week or month leaves"),
        ],
    )
    def test_what_is_wrong_is_said_and_what_was_typed_is_kept(
        self, browser: Browser, project: Project, people: dict[str, User], typed: dict[str, str], said: str
    ) -> None:
        status, page = self.send(browser, **typed)

        assert status in (400, 422)
        assert said in page
        assert f'value="{typed["amount"]}"' in page
        assert not Budget.objects.exists()

    @pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404)])
    def test_it_is_for_owners(self, browser: Browser, project: Project, who: str, status: int) -> None:
        assert self.send(browser, who, amount="1")[0] == status
        assert not Budget.objects.exists()

    def test_limits_of_everything_are_for_staff(
        self, browser: Browser, project: Project, people: dict[str, User]
    ) -> None:
        refused, _ = self.send(browser, project="", amount="1")
        people["alice"].is_staff = True
        people["alice"].save()
        done, _ = self.send(browser, project="", amount="1")

        assert (refused, done) == (403, 302)
        assert Budget.objects.get().kind == "system"


class TestChanging:
    def test_it_asks_in_a_card_that_has_what_is_now(self, browser: Browser, budget: Budget) -> None:
        card = browser("alice").get(at(budget), headers={"HX-Request": "true"}).content.decode()

        assert "<html" not in card
        assert 'value="20.00"' in card
        assert "Money for good, Project demo" in card

    def test_it_changes_the_limit_and_how_it_works(self, browser: Browser, budget: Budget) -> None:
        response = browser("alice").post(at(budget), {"amount": "30", **USUAL, "landing_percent": "0"})

        budget.refresh_from_db()
        assert response["Location"] == "/p/demo/budget/"
        assert (budget.limit, budget.landing_percent) == (30_000_000, 0)
        assert Window.objects.get().limit == 30_000_000

    def test_less_than_is_spent_or_promised_is_refused(self, browser: Browser, budget: Budget) -> None:
        response = browser("alice").post(at(budget), {"amount": "12.50", **USUAL})

        budget.refresh_from_db()
        assert response.status_code == 409
        assert "has spent or promised 13.00 USD already" in response.content.decode()
        assert budget.limit == 20_000_000

    @pytest.mark.parametrize(
        ("amount", "said"),
        [
            ("30", "Left: $7.00 now, $17.00 then."),
            ("12", "$13.00 is spent or promised already"),
            ("x", "is not an amount"),
        ],
    )
    def test_what_it_would_mean_is_said_while_it_is_typed(
        self, browser: Browser, budget: Budget, amount: str, said: str
    ) -> None:
        assert said in browser("alice").get(at(budget, f"preview/?amount={amount}")).content.decode()
        budget.refresh_from_db()
        assert budget.limit == 20_000_000


class TestRaising:
    def test_one_click_makes_it_half_as_much_again(self, browser: Browser, budget: Budget) -> None:
        browser("alice").post(at(budget, "raise/"), {"was": "20000000"})

        budget.refresh_from_db()
        assert budget.limit == 30_000_000

    def test_a_second_click_on_the_old_page_does_nothing(self, browser: Browser, budget: Budget) -> None:
        for _ in range(2):
            browser("alice").post(at(budget, "raise/"), {"was": "20000000"})

        budget.refresh_from_db()
        assert budget.limit == 30_000_000

    def test_the_page_s_button_raises_what_it_shows(self, browser: Browser, budget: Budget) -> None:
        page = browser("alice").get("/p/demo/budget/").content.decode()
        button = re.search(r'action="([^"]*/raise/)">.*?name="was" value="(\d+)"', page, re.S)
        assert button

        browser("alice").post(button[1], {"was": button[2]})

        budget.refresh_from_db()
        assert budget.limit == 30_000_000

    def test_a_share_of_a_pool_is_not_changed_by_hand(self, browser: Browser, budget: Budget) -> None:
        Budget.objects.update(pooled=True)

        browser("alice").post(at(budget, "raise/"), {"was": "20000000"})

        budget.refresh_from_db()
        assert budget.limit == 20_000_000


class TestLifting:
    def test_it_says_that_nothing_can_be_spent_then(self, browser: Browser, budget: Budget) -> None:
        card = browser("alice").get(at(budget, "lift/")).content.decode()

        assert "then has no limit of money of its own" in card
        assert Budget.objects.standing().exists()

    def test_it_lifts_it(self, browser: Browser, budget: Budget) -> None:
        browser("alice").post(at(budget, "lift/"))

        assert not Budget.objects.standing().exists()
        assert browser("alice").get(at(budget)).status_code == 404


class TestWhoMay:
    @pytest.mark.parametrize("what", ["", "preview/", "lift/"])
    def test_viewers_may_not_and_outsiders_find_nothing(
        self, browser: Browser, budget: Budget, what: str
    ) -> None:
        assert [browser(who).get(at(budget, what)).status_code for who in ("bob", "charlie")] == [403, 404]

    @pytest.mark.parametrize("what", ["", "raise/", "lift/"])
    def test_nor_may_they_by_post(self, browser: Browser, budget: Budget, what: str) -> None:
        sent = {"amount": "99", "was": "20000000", **USUAL}
        codes = [browser(who).post(at(budget, what), sent).status_code for who in ("bob", "charlie")]

        budget.refresh_from_db()
        assert codes == [403, 404]
        assert (budget.limit, budget.removed_at) == (20_000_000, None)

    def test_a_viewer_is_offered_nothing(self, browser: Browser, budget: Budget) -> None:
        page = browser("bob").get("/p/demo/budget/").content.decode()

        assert "Change…" not in page
        assert "Set a limit" not in page

    def test_limits_of_everything_are_not_even_there_for_others(
        self, browser: Browser, project: Project
    ) -> None:
        system = actions.change_limit(Holder.of_system(), "money", 5, by=None)

        assert browser("alice").get(at(system)).status_code == 404

    def test_another_project_s_owner_has_no_say(
        self, browser: Browser, budget: Budget, people: dict[str, User]
    ) -> None:
        projects.create(slug="other", by=people["charlie"])

        assert browser("charlie").post(at(budget, "raise/"), {"was": "20000000"}).status_code == 404
