"""Budgets, ledger and price book as pages: what they say, whether it adds up, and who may see it."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import caches
from django.utils import timezone

from budgets import actions, book, breaker, journal, ledger
from budgets.limits import Holder
from budgets.models import Breaker, Budget, LedgerEntry, Window
from budgets.prices import Price, Rates
from checkpoints.models import Checkpoint
from machines.models import Machine
from projects import actions as projects
from projects.models import Project, User
from tests.budgets.rows import charged, entry
from tests.dashboard import rows
from tests.dashboard.conftest import Browser, text

PAGE = "/p/demo/budget/"
PRICE = Price("claude-sonnet-4-5", "test", ((0, Rates(1_000_000, 1, 1, 1, 1_000_000)),))


def spend_daily(project: Project, micros: int, days: int = 10) -> Window:
    """As much every day, up to now, of the project's money for good."""
    window = Window.objects.get(budget=rows.budget(project, 20_000_000, spent_micros=micros * days))
    Window.objects.filter(pk=window.pk).update(starts_at=timezone.now() - timedelta(days=days + 1))
    window.refresh_from_db()
    now = timezone.now()
    LedgerEntry.objects.bulk_create(
        charged(window, now - timedelta(days=day, minutes=5), micros) for day in range(days)
    )
    return window


class TestTheProjectsPage:
    def test_it_says_when_the_money_runs_out(self, browser: Browser, project: Project) -> None:
        spend_daily(project, 1_500_000)

        page = browser("bob").get(PAGE).content.decode()

        assert "At the present rate, money runs out on" in text(page)
        assert re.search(r"Runs out \d", text(page))
        assert 'class="band"' in page
        assert '<title id="burndown-said">At the present rate' in page, "the chart says what it shows"

    def test_it_says_that_money_lasts(self, browser: Browser, project: Project) -> None:
        spend_daily(project, 100)

        assert "Money lasts:" in text(browser("bob").get(PAGE).content.decode())

    def test_without_history_it_says_so_instead_of_guessing(self, browser: Browser, project: Project) -> None:
        rows.budget(project)

        page = text(browser("bob").get(PAGE).content.decode())

        assert "Not enough history for a forecast" in page
        assert "runs out on" not in page

    def test_without_a_limit_it_says_that_nothing_may_be_spent(
        self, browser: Browser, project: Project
    ) -> None:
        owner, viewer = (text(browser(who).get(PAGE).content.decode()) for who in ("alice", "bob"))

        assert "No limit is set, so nothing may be spent in it. Set one" in owner
        assert "Ask an owner to set one." in viewer

    def test_left_is_what_is_neither_spent_nor_reserved(self, browser: Browser, project: Project) -> None:
        rows.budget(project, 20_000_000, spent_micros=3_000_000, reserved_micros=500_000)

        page = text(browser("bob").get(PAGE).content.decode())

        assert "$3.00 $0.50 $16.50 $20.00" in page
        assert "Left = Limit − Spent − Reserved" in page

    def test_every_kind_of_limit_is_listed(
        self, browser: Browser, project: Project, genesis: Checkpoint, people: dict[str, User]
    ) -> None:
        machine = rows.machine(project, genesis)
        ended = rows.machine(project, genesis, "terminated")
        rows.budget(project, period="month")
        rows.budget(project, holder=Holder.of_member(project, people["bob"]), period="day")
        for one in (machine, ended):
            rows.budget(project, holder=Holder.of_machine(project, one.id, f"Machine {one.handle}"))
        actions.set_limit(project, "memory_mb_seconds", 36_000_000, by=people["alice"])

        page = text(browser("bob").get(PAGE).content.decode())

        assert "Member bob of demo" in page
        assert f"Machine {machine.handle}" in page
        assert f"Machine {ended.handle}" not in page
        assert "10.00 GB-h" in page

    def test_what_is_held_is_listed_until_it_is_settled(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        machine = rows.machine(project, genesis)
        rows.budget(project)
        grant = actions.reserve_call(
            "call:1", payer=actions.Payer(project.id, machine.id), price=PRICE, input_tokens=1000,
            output_tokens=500, seconds=60,
        )  # fmt: skip
        assert isinstance(grant, actions.Grant)

        held = browser("bob").get(PAGE).content.decode()
        ledger.release(grant.reservation_id)
        freed = browser("bob").get(PAGE).content.decode()

        assert f"hold-{grant.reservation_id}" in held
        assert "$0.0015" in held
        assert f"hold-{grant.reservation_id}" not in freed
        assert "Nothing is under way." in freed

    def test_an_open_circuit_breaker_is_said_and_closed_in_one_click(
        self, browser: Browser, project: Project
    ) -> None:
        rows.budget(project)
        Breaker.objects.create(
            project=project,
            state="open",
            until=timezone.now() + timedelta(minutes=9),
            sentence="Far too fast.",
        )

        owner, viewer = (browser(who).get(PAGE).content.decode() for who in ("alice", "bob"))
        refused = browser("bob").post("/p/demo/breaker/close/")
        browser("alice").post("/p/demo/breaker/close/")

        assert "Far too fast." in owner
        assert "Far too fast." in viewer
        assert "Close it" in owner
        assert "Close it" not in viewer
        assert refused.status_code == 403
        assert breaker.find(project).state == "closed"

    def test_the_fragment_leaves_out_what_takes_long(self, browser: Browser, project: Project) -> None:
        rows.budget(project)

        response = browser("bob").get(PAGE, headers={"HX-Request": "true"})

        assert b'id="all-limits"' in response.content
        assert b'id="used"' not in response.content

    def test_it_costs_as_many_queries_for_many_machines_as_for_one(
        self, browser: Browser, project: Project, genesis: Checkpoint, django_assert_max_num_queries
    ) -> None:
        def populate(number: int) -> None:
            for _ in range(number):
                made = rows.machine(project, genesis)
                rows.budget(project, holder=Holder.of_machine(project, made.id, f"Machine {made.handle}"))
                rows.call(made)

        rows.budget(project)
        populate(1)
        bob = browser("bob")
        bob.get(PAGE)
        with django_assert_max_num_queries(15) as few:
            bob.get(PAGE)
        populate(12)
        bob.get(PAGE)
        with django_assert_max_num_queries(15) as many:
            bob.get(PAGE)

        assert len(many) == len(few)


class TestWhatWasUsed:
    def test_the_tables_add_up_to_their_heading(
        self, browser: Browser, project: Project, genesis: Checkpoint, people: dict[str, User]
    ) -> None:
        rows.budget(project)
        machines = [rows.machine(project, genesis, type=kind) for kind in ("vibe", "shell", "shell")]
        now = timezone.now()
        LedgerEntry.objects.bulk_create(
            entry(project, now - timedelta(days=day), 1_000_000 * (day + 1), machine_id=machine.id,
                  member_id=people["alice"].pk, label=f"model-{day % 3}")
            for day in range(6) for machine in machines
        )  # fmt: skip

        page = browser("bob").get(PAGE).content.decode()

        sums = re.search(r'id="sums">(.*?)</dl>', page, re.S)
        assert sums
        assert "Cost $63.00" in text(sums[1])
        for cut in ("model", "type", "member", "machine"):
            table = page.split(f'id="cut-{cut}"')[1].split("</table>")[0]
            body, foot = table.split("<tfoot>")
            assert sum(float(one) for one in re.findall(r">\$([\d.]+)<", body)) == 63
            assert "$63.00" in foot

    def test_a_shorter_span_shows_less(self, browser: Browser, project: Project) -> None:
        rows.budget(project)
        entry(project, timezone.now() - timedelta(days=3), 7_000_000).save()

        week, day = (browser("bob").get(f"{PAGE}history/?days={days}").content.decode() for days in (7, 1))

        assert "$7.00" in week
        assert "Nothing was used in this time." in day

    def test_machine_time_has_no_price_and_no_zero(self, browser: Browser, project: Project) -> None:
        rows.budget(project)
        entry(
            project, timezone.now(), 0, label="compute", calls=0, input_tokens=0, cached_tokens=0,
            output_tokens=0, wall_seconds=5400, price_version="",
        ).save()  # fmt: skip

        page = browser("bob").get(f"{PAGE}history/").content.decode()

        assert "1 h 30 min" in page
        assert "It has no price" in page

    def test_bounds_are_said_to_be_bounds(self, browser: Browser, project: Project) -> None:
        rows.budget(project)
        entry(project, timezone.now(), kind="assumed").save()

        page = browser("bob").get(f"{PAGE}history/").content.decode()
        assert "1 entry is charged at the bound" in text(page)

    @pytest.mark.parametrize(
        "query", ["days=0", "days=x", "days=99999999999", "days=000199999999999", "limit=x", "limit=99"]
    )
    def test_nonsense_in_the_address_is_no_error(
        self, query: str, browser: Browser, project: Project
    ) -> None:
        rows.budget(project)

        assert browser("bob").get(f"{PAGE}?{query}").status_code == 200

    def test_each_day_is_a_bar_and_the_chart_says_which_was_dearest(
        self, browser: Browser, project: Project
    ) -> None:
        rows.budget(project)
        now = timezone.now()
        for back, micros in ((0, 1_000_000), (3, 4_000_000)):
            entry(project, now - timedelta(days=back), micros).save()

        chart = browser("bob").get(f"{PAGE}history/?days=7").content.decode().partition('class="bars"')[2]
        heights = [float(one) for one in re.findall(r'class="day"[^>]+height="([\d.]+)"', chart)]

        dearest = now - timedelta(days=3)
        assert f"Most was spent on {dearest.day} {dearest:%b}: $4.00 of $5.00, on 2 days." in chart
        assert len(heights) == 8
        assert [height > 0 for height in heights] == [False, False, False, False, True, False, False, True]
        assert heights[4] == pytest.approx(4 * heights[7], abs=0.3)

    def test_nothing_spent_is_no_chart(self, browser: Browser, project: Project) -> None:
        assert 'class="bars"' not in browser("bob").get(f"{PAGE}history/").content.decode()


class TestWhatIf:
    @pytest.fixture
    def running(self, project: Project, genesis: Checkpoint) -> None:
        """Two machines, and money that lasts about three more days."""
        for _ in range(2):
            rows.machine(project, genesis)
        spend_daily(project, 1_500_000)

    def said(self, browser: Browser, machines: object = "") -> str:
        page = browser("bob").get(f"{PAGE}what-if/?machines={machines}").content.decode()
        return page.partition('role="status">')[2].partition("</p>")[0]

    def day(self, sentence: str) -> datetime:
        found = re.search(r"runs out on (\d+ \w+|\d\d:\d\d today)", sentence)
        assert found, sentence
        now = timezone.now()
        if "today" in found[1]:
            return now
        at = datetime.strptime(f"{found[1]} {now.year}", "%d %B %Y").replace(tzinfo=UTC)
        return at if at > now - timedelta(days=2) else at.replace(year=now.year + 1)

    @pytest.mark.usefixtures("running")
    def test_more_machines_run_out_sooner_and_none_never(self, browser: Browser) -> None:
        as_now, twice, none = (self.said(browser, machines) for machines in (2, 4, 0))

        assert as_now.startswith("At the present rate, money runs out on")
        assert twice.startswith("With 4 machines instead of 2, money runs out on")
        assert self.day(twice) < self.day(as_now)
        assert none.startswith("Money lasts: $15.00 to $15.00 of $20.00")

    @pytest.mark.usefixtures("running")
    @pytest.mark.parametrize("nonsense", ["", "x", "-1", "٣", "9999999"])
    def test_nonsense_is_as_now(self, nonsense: str, browser: Browser) -> None:
        assert self.said(browser, nonsense) == self.said(browser, 2)

    @pytest.mark.usefixtures("running")
    def test_without_a_script_the_page_itself_answers(self, browser: Browser) -> None:
        page = browser("bob").get(f"{PAGE}?machines=4").content.decode()

        assert "With 4 machines instead of 2" in page
        assert "At the present rate, money runs out on" in page.partition('id="what-if"')[0]

    def test_where_no_machine_runs_there_is_nothing_to_compare_with(
        self, browser: Browser, project: Project
    ) -> None:
        spend_daily(project, 1_500_000)

        assert "What if" not in browser("bob").get(PAGE).content.decode()


class TestOverview:
    def test_it_lists_the_visible_projects_with_what_they_spent_today(
        self, browser: Browser, project: Project, people: dict[str, User]
    ) -> None:
        rows.budget(project)
        rows.budget(projects.create(slug="secret", by=people["charlie"]))
        entry(project, timezone.now(), 2_340_000).save()

        page = text(browser("alice").get("/budgets/").content.decode())

        assert "$2.34 spent today" in page
        assert "secret" not in page

    def test_it_costs_as_many_queries_for_many_limits_as_for_two(
        self, browser: Browser, project: Project, alice: User, django_assert_max_num_queries
    ) -> None:
        def populate(name: str, resources: list[str]) -> None:
            made = projects.create(slug=name, by=alice)
            for resource in resources:
                actions.set_limit(made, resource, 1_000_000, by=alice)

        asking = browser("alice")
        populate("first", ["money", "calls"])
        asking.get("/budgets/")
        caches["process"].clear()
        with django_assert_max_num_queries(20) as few:
            asking.get("/budgets/")
        for number in range(5):
            populate(f"more-{number}", ["money", "calls", "tokens", "wall_seconds"])
        caches["process"].clear()
        with django_assert_max_num_queries(20) as many:
            asking.get("/budgets/")

        assert len(many) == len(few)

    def test_limits_of_everything_are_for_staff(
        self, browser: Browser, project: Project, people: dict[str, User]
    ) -> None:
        actions.change_limit(Holder.of_system(), "money", 9_000_000, by=None)
        actions.change_limit(Holder("hub:primary", "Hub primary", None), "money", 4_000_000, by=None)
        before = browser("alice").get("/budgets/").content.decode()
        people["alice"].is_staff = True
        people["alice"].save()

        after = browser("alice").get("/budgets/").content.decode()
        assert "The whole system" not in before
        assert "Hub primary" not in before
        assert "$9.00" in after
        assert "Hub primary" in after

    def test_whoever_is_in_no_project_is_told_what_to_do(self, browser: Browser) -> None:
        assert "Ask an owner to let you in." in browser("charlie").get("/budgets/").content.decode()


class TestTheLedger:
    def test_it_tells_use_from_changes_of_limits(
        self, browser: Browser, project: Project, genesis: Checkpoint, alice: User
    ) -> None:
        machine = rows.machine(project, genesis)
        actions.set_limit(project, "money", 5_000_000, by=alice)
        entry(project, timezone.now(), 12_300, machine_id=machine.id, member_id=alice.pk).save()

        page = text(browser("bob").get("/p/demo/ledger/").content.decode())

        assert f"Usage claude-sonnet-4-5 {machine.handle} alice 900 4,100 400 $0.0123 test" in page
        assert "Project demo, money for good newly set by alice + $5.00" in page

    def test_it_is_filtered_and_the_filter_survives_the_next_page(
        self, browser: Browser, project: Project
    ) -> None:
        now = timezone.now()
        LedgerEntry.objects.bulk_create(
            [*(entry(project, now, label="gpt-5") for _ in range(60)), entry(project, now, label="other")]
        )

        page = browser("bob").get("/p/demo/ledger/?model=gpt-5").content.decode()
        older = re.search(r'href="(\?[^"]*before=\d+[^"]*)"', page)
        assert older
        second = browser("bob").get("/p/demo/ledger/" + older[1].replace("&amp;", "&")).content.decode()

        assert page.count('<tr id="entry-') == 50
        assert second.count('<tr id="entry-') == 10
        assert "other</td>" not in page + second

    def test_a_filter_that_finds_nothing_offers_a_way_back(self, browser: Browser, project: Project) -> None:
        page = browser("bob").get("/p/demo/ledger/?kind=transfer").content.decode()

        assert "No entry matches" in page
        assert "Show all entries" in page

    def test_a_search_that_stopped_says_how_far_it_got(
        self, browser: Browser, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(journal, "SEARCHED_AT_ONCE", 3)
        day = datetime(2026, 3, 1, tzinfo=UTC)
        LedgerEntry.objects.bulk_create(entry(project, day) for _ in range(9))

        page = text(browser("bob").get("/p/demo/ledger/?model=rare").content.decode())

        assert "Searched back to 1 Mar 2026, 00:00" in page
        assert "Look further back" in page

    @pytest.mark.parametrize(
        "query", ["machine=m999", "day=yesterday", "day=9999-12-31", "kind=x", "before=x"]
    )
    def test_nonsense_in_the_address_is_no_error(
        self, query: str, browser: Browser, project: Project
    ) -> None:
        assert browser("bob").get(f"/p/demo/ledger/?{query}").status_code == 200

    def test_it_is_exported_as_it_is_filtered(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        machine = rows.machine(project, genesis)
        entry(project, timezone.now(), machine_id=machine.id).save()
        entry(project, timezone.now()).save()

        response = browser("bob").get(f"/p/demo/ledger.csv?machine={machine.handle}")
        lines = b"".join(response).decode().splitlines()

        assert response["Content-Disposition"] == 'attachment; filename="demo-ledger.csv"'
        assert len(lines) == 2
        assert machine.handle in lines[1]


class TestThePriceBook:
    def test_models_that_were_used_are_listed_with_todays_prices(
        self, browser: Browser, project: Project
    ) -> None:
        entry(project, timezone.now(), label="claude-sonnet-4-5").save()

        page = text(browser("bob").get("/prices/").content.decode())

        assert "claude-sonnet-4-5 $3.00 $0.30 $3.75 $6.00 $15.00 genai-prices" in page

    def test_prices_that_an_admin_entered_are_told_from_the_list_s(
        self, browser: Browser, project: Project, alice: User
    ) -> None:
        entry(project, timezone.now(), label="claude-sonnet-4-5").save()
        book.enter("claude-sonnet-4-5", {"input": "1.125", "output": "2"}, by=alice, note="Our contract")
        book.refresh(now=True)

        page = text(browser("bob").get("/prices/").content.decode())
        book.withdraw("claude-sonnet-4-5", by=alice)
        book.refresh(now=True)

        assert "claude-sonnet-4-5 $1.125 $1.125 $1.125 $1.125 $2.00 entered by hand" in page
        assert "Our contract" in page

    def test_what_has_no_price_is_unknown_and_not_free(self, browser: Browser, project: Project) -> None:
        page = text(browser("bob").get("/prices/?model=no-such-model-9").content.decode())

        assert "There is no price for the model 'no-such-model-9'" in page.replace("&#x27;", "'")
        assert "$0.00" not in page

    def test_models_of_other_peoples_projects_are_not_named(self, browser: Browser, project: Project) -> None:
        entry(project, timezone.now(), label="claude-sonnet-4-5").save()

        assert "claude-sonnet-4-5 $3" not in text(browser("charlie").get("/prices/").content.decode())


class TestElsewhere:
    def test_the_fleet_says_what_was_spent_today_and_what_will_run_out(
        self, browser: Browser, project: Project, machine: Machine
    ) -> None:
        Budget.objects.all().update(removed_at=timezone.now())
        Window.objects.all().update(closed_at=timezone.now())
        spend_daily(project, 1_500_000)

        page = text(browser("bob").get("/").content.decode())

        assert "Spent today $1.51" in page
        assert "demo: At the present rate, money runs out on" in page

    def test_a_machine_shows_its_own_limits_in_all_their_periods(
        self, browser: Browser, project: Project, machine: Machine
    ) -> None:
        holder = Holder.of_machine(project, machine.id, f"Machine {machine.handle}")
        rows.budget(project, 4_000_000, holder=holder)
        actions.change_limit(holder, "calls", 30, by=None, period="hour")

        page = text(browser("bob").get(f"/machines/{machine.handle}/?tab=cost").content.decode())

        assert "Limits of this machine" in page
        assert "Model calls an hour" in page
        assert "$4.00" in page
