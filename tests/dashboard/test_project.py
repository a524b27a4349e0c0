"""The first page of a project: what it says of its machines, money and people, and to whom."""

import re

import pytest
from django.utils import timezone

from budgets.models import Breaker, BudgetRequest
from checkpoints.models import Checkpoint
from events import actions as events
from machines.models import Machine
from projects import actions as projects
from projects.models import Project, User
from projects.roles import Role
from tests.dashboard import rows
from tests.dashboard.conftest import Browser, text

PAGE = "/p/demo/"


def shown(browser: Browser, who: str = "alice") -> str:
    return browser(who).get(PAGE).content.decode()


class TestWhatItShows:
    def test_a_new_project_offers_prompts_that_fill_the_form(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        page = shown(browser)
        address = re.findall(r'class="tile" href="([^"]+)"', page)[0].replace("&amp;", "&")
        form = browser("alice").get(address).content.decode()

        assert page.count('class="tile" href="/machines/new/?project=demo') == 3
        assert "Write a fizzbuzz with tests and make them pass</textarea>" in form
        assert 'value="vibe" required checked' in form

    def test_a_viewer_of_a_new_project_is_offered_nothing_to_spawn(
        self, browser: Browser, project: Project
    ) -> None:
        page = shown(browser, "bob")

        assert "No machine has run here yet" in page
        assert "/machines/new/" not in page.partition("<main")[2]

    def test_it_counts_machines_and_lists_those_at_work(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        working = rows.machine(project, genesis, prompt="Build the parser\nand more")
        rows.machine(project, genesis, "paused", paused_for="person")
        rows.machine(project, genesis, "terminated", exit_code=0)

        page = shown(browser)

        at_work = page.partition('class="at-work"')[2].partition("</ul>")[0]
        assert f'href="/machines/{working.handle}/"' in at_work
        assert "Build the parser" in at_work
        assert at_work.count("<li") == 2
        assert "1 running 1 paused 1 ended" in text(page)
        assert "All 3 machines" in text(page)

    def test_the_last_machines_are_a_strip_of_how_they_ended(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        good = rows.machine(project, genesis, "terminated", exit_code=0)
        bad = rows.machine(project, genesis, "failed", exit_code=1)
        stopped = rows.machine(project, genesis, "terminated")

        page = shown(browser)

        strip = page.partition('class="strip"')[2].partition("</ol>")[0]
        assert re.findall(r"(m\d+ [a-z ]+):", text(strip)) == [
            f"{good.handle} succeeded",
            f"{bad.handle} failed",
            f"{stopped.handle} was ended",
        ]
        assert "The last 3 that ended: 1 succeeded" in text(page)

    def test_each_limit_is_one_line_with_what_is_left(self, browser: Browser, project: Project) -> None:
        rows.budget(project, 20_000_000, spent_micros=3_000_000, reserved_micros=500_000)
        rows.budget(project, 5_000_000, period="day")

        page = text(shown(browser, "bob"))

        assert "Money for good $16.50 left of $20.00" in page
        assert "Money a day $5.00 left of $5.00" in page

    def test_without_a_limit_it_says_that_nothing_may_be_spent(
        self, browser: Browser, project: Project
    ) -> None:
        assert "No limit is set, so nothing may be spent here. Set one" in text(shown(browser))

    def test_it_shows_where_the_tree_grows_who_is_in_it_and_what_happened(
        self, browser: Browser, project: Project, machine: Machine
    ) -> None:
        events.record(
            "machine.paused",
            subject=machine.subject,
            project_id=project.id,
            by="alice",
            handle=machine.handle,
        )

        page = text(shown(browser, "bob"))

        assert f"{machine.handle}.c2 After answer 1" in page
        assert "alice owner bob viewer" in page
        assert f"Machine paused {machine.handle} by alice" in page

    def test_what_waits_here_is_said_and_what_waits_elsewhere_is_not(
        self, browser: Browser, project: Project, genesis: Checkpoint, people: dict[str, User]
    ) -> None:
        other = projects.create(slug="other", by=people["alice"])
        here = rows.machine(project, genesis, "failed", sentence="The disk is full.")
        there = rows.machine(other, genesis, "failed", sentence="The network is down.")
        for one in (project, other):
            BudgetRequest.objects.create(
                project=one, budget=rows.budget(one), asked_by=people["bob"], amount=7_000_000, reason="More."
            )

        main = shown(browser).partition("<main")[2]

        assert "The disk is full." in main
        assert "bob asks for" in text(main)
        assert f'id="needs-{here.handle}"' in main
        assert there.handle not in main
        assert main.count("bob asks for") == 1

    def test_an_open_circuit_breaker_is_said_first(self, browser: Browser, project: Project) -> None:
        Breaker.objects.create(project=project, state="open", until=timezone.now(), sentence="Far too fast.")

        assert "Far too fast." in shown(browser, "bob")


class TestWhoMayWhat:
    def test_an_owner_is_offered_everything_and_a_viewer_nothing(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        rows.machine(project, genesis)
        acts = ["Spawn a machine", "Set a limit…", "Invite", "Pause all…", "Resume all…"]

        owner, viewer = (text(shown(browser, who).partition("<main")[2]) for who in ("alice", "bob"))

        assert all(act in owner for act in acts)
        assert not any(act in viewer for act in acts)

    def test_pause_all_asks_for_exactly_the_running_ones_of_this_project(
        self, browser: Browser, project: Project, genesis: Checkpoint, people: dict[str, User]
    ) -> None:
        running, paused = rows.machine(project, genesis), rows.machine(project, genesis, "paused")
        elsewhere = rows.machine(projects.create(slug="other", by=people["alice"]), genesis)

        address = re.findall(r'href="(/machines/many/\?verb=pause[^"]+)"', shown(browser))[0]
        card = browser("alice").get(address.replace("&amp;", "&")).content.decode()

        assert f"{running.handle}:running" in card
        assert paused.handle not in card
        assert elsewhere.handle not in card

    def test_outsiders_find_nothing(self, browser: Browser, project: Project) -> None:
        assert browser("charlie").get(PAGE).status_code == 404

    @pytest.mark.parametrize("there", ["", "checkpoints/", "budget/", "members/", "audit/", "ledger/"])
    def test_every_page_of_the_project_leads_to_the_others(
        self, there: str, browser: Browser, project: Project
    ) -> None:
        page = browser("bob").get(PAGE + there).content.decode()

        tabs = page.partition('class="tabs"')[2].partition("</nav>")[0]
        assert re.findall(r">(\w+)</a>", tabs) == [
            "Overview", "Machines", "Checkpoints", "Budget", "Members", "Audit",
        ]  # fmt: skip
        assert tabs.count("aria-current") == 1


class TestItsCost:
    def test_many_machines_take_no_more_queries_than_few(
        self, browser: Browser, project: Project, genesis: Checkpoint, people: dict[str, User],
        django_assert_max_num_queries,
    ) -> None:  # fmt: skip
        def populate(number: int) -> None:
            for _ in range(number):
                rows.call(rows.machine(project, genesis))
                rows.checkpoint(rows.machine(project, genesis, "terminated", exit_code=0), {"a": "b"})

        rows.budget(project)
        populate(1)
        projects.admit(project, people["charlie"], Role.MEMBER, by=people["alice"])
        alice = browser("alice")
        alice.get(PAGE)
        with django_assert_max_num_queries(15) as few:
            alice.get(PAGE)
        populate(30)
        alice.get(PAGE)
        with django_assert_max_num_queries(15) as many:
            alice.get(PAGE)

        assert len(many) == len(few)
