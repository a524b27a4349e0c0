"""The fleet page: what it counts, lists and asks a person for, and what that costs."""

from datetime import timedelta

import pytest
from django.utils import timezone

from budgets import requests, transfers
from checkpoints.models import Checkpoint
from guests.models import Guest
from machines.models import Machine
from machines.states import State
from operations.models import Operation, Status
from projects import actions as projects
from projects.models import Project, User
from tests.dashboard import rows
from tests.dashboard.conftest import Browser


class TestTheList:
    def test_it_says_what_a_machine_is_and_costs(self, browser: Browser, machine: Machine) -> None:
        rows.call(machine, cost_micros=1_830_000)

        page = browser("bob").get("/").content.decode()

        assert machine.handle in page
        assert "Write a fizzbuzz" in page
        assert "$1.84" in page
        assert ">2</td>" in page

    def test_it_shows_nothing_of_other_peoples_projects(
        self, browser: Browser, machine: Machine, people: dict[str, User]
    ) -> None:
        projects.create(slug="private", by=people["charlie"])

        page = browser("charlie").get("/").content.decode()

        assert machine.handle not in page
        assert "demo" not in page
        assert "No machines yet" in page

    def test_it_filters_by_state_and_project(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        running = rows.machine(project, genesis)
        ended = rows.machine(project, genesis, State.TERMINATED)

        page = browser("alice").get("/?state=running&project=demo").content.decode()

        assert f'id="{running.handle}"' in page
        assert f'id="{ended.handle}"' not in page

    def test_a_filter_that_matches_nothing_offers_a_way_back(
        self, browser: Browser, machine: Machine
    ) -> None:
        page = browser("alice").get("/?state=failed").content.decode()

        assert "No machine matches" in page
        assert "Show all 1" in page

    @pytest.mark.parametrize("query", ["page=999", "page=x", "state=nonsense", "project=none"])
    def test_nonsense_in_the_address_is_no_error(
        self, query: str, browser: Browser, machine: Machine
    ) -> None:
        assert browser("alice").get(f"/?{query}").status_code == 200

    def test_it_labels_machines_that_the_offline_model_answered(
        self, browser: Browser, machine: Machine
    ) -> None:
        rows.call(machine, offline=True)

        assert "offline model" in browser("alice").get("/").content.decode().partition("<main")[2]

    def test_it_costs_as_many_queries_for_forty_machines_as_for_two(
        self, browser: Browser, project: Project, genesis: Checkpoint, django_assert_max_num_queries
    ) -> None:
        def populate(number: int) -> None:
            for _ in range(number):
                made = rows.machine(project, genesis, State.FAILED, ended_at=timezone.now())
                rows.checkpoint(made, {"a": "b"})
                rows.call(made)

        alice = browser("alice")
        populate(2)
        with django_assert_max_num_queries(20) as few:
            alice.get("/")
        populate(38)
        with django_assert_max_num_queries(20) as many:
            alice.get("/")

        assert len(many) == len(few)


class TestNeedsYou:
    def test_a_vm_that_is_not_as_it_was_left_is_listed_with_what_mends_it(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        machine = rows.machine(project, genesis, State.RUNNING, heard_at=timezone.now())
        Guest.objects.filter(pk=machine.guest_id).update(drift=["VM 7 is locked: qm unlock 7"])

        page = browser("alice").get("/").content.decode()
        listed = page[page.index('id="needs"') : page.index('id="tiles"')]

        assert "qm unlock 7" in listed
        assert "Silent" not in listed

    def test_work_that_waits_for_an_operator_is_listed_with_what_to_do(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        machine = rows.machine(project, genesis, State.RUNNING, heard_at=timezone.now())
        Operation.objects.create(
            verb="checkpoint", subject=machine.subject, project=project, lock=machine.guest.subject, task="x",
            status=Status.NEEDS_OPERATOR, error="run: qm unlock 8",
        )  # fmt: skip

        assert "run: qm unlock 8" in browser("alice").get("/").content.decode()

    def test_it_lists_what_failed_what_has_no_budget_and_what_is_silent(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        failed = rows.machine(project, genesis, State.FAILED, sentence="The disk was full.")
        broke = rows.machine(project, genesis, State.PAUSED, paused_for="budget", sentence="Nothing is left.")
        silent = rows.machine(project, genesis, heard_at=timezone.now() - timedelta(minutes=5))
        fine = rows.machine(project, genesis)

        page = browser("alice").get("/").content.decode()

        assert 'data-problems="3"' in page
        for machine in (failed, broke, silent):
            assert f'id="needs-{machine.handle}"' in page
        assert f'id="needs-{fine.handle}"' not in page
        assert "The disk was full." in page

    def test_what_others_ask_for_is_listed_for_those_who_decide(
        self, browser: Browser, project: Project, genesis: Checkpoint, people: dict[str, User]
    ) -> None:
        rows.machine(project, genesis)
        asked = requests.ask_for(rows.budget(project), 2_500_000, by=people["bob"], reason="Long tests")
        shop = projects.create(slug="shop", by=people["charlie"])
        offered = transfers.propose(shop, project, "money", 1_000_000, by=people["charlie"])

        owner, viewer, other = (browser(who).get("/").content.decode() for who in ("alice", "bob", "charlie"))

        assert 'data-problems="2"' in owner
        assert f'id="needs-request-{asked.pk}"' in owner
        assert f'id="needs-transfer-{offered.pk}"' in owner
        assert "Long tests" in owner
        assert "needs-request" not in viewer + other
        assert "needs-transfer" not in viewer + other

    def test_it_lets_old_failures_be(self, browser: Browser, project: Project, genesis: Checkpoint) -> None:
        rows.machine(project, genesis, State.FAILED, ended_at=timezone.now() - timedelta(days=2))

        assert 'id="needs"' not in browser("alice").get("/").content.decode()

    def test_a_person_who_paused_a_machine_is_not_told_so(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        rows.machine(project, genesis, State.PAUSED, paused_for="person")

        assert 'id="needs"' not in browser("alice").get("/").content.decode()


class TestMoney:
    def test_it_adds_up_the_budgets_that_are_visible(
        self, browser: Browser, project: Project, genesis: Checkpoint, people: dict[str, User]
    ) -> None:
        rows.machine(project, genesis)
        rows.budget(project, 20_000_000, spent_micros=3_000_000, reserved_micros=500_000)
        rows.budget(projects.create(slug="secret", by=people["charlie"]), 999_000_000)

        page = browser("alice").get("/").content.decode()

        assert "$16.50" in page
        assert "of" in page
        assert "$20.00" in page

    def test_it_says_that_nothing_can_be_spent_without_a_budget(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        rows.machine(project, genesis)

        assert "bin/autovibe budget set" in browser("alice").get("/").content.decode()


class TestTheFragment:
    def test_it_is_the_inside_of_the_page(self, browser: Browser, machine: Machine) -> None:
        response = browser("alice").get("/", headers={"HX-Request": "true"})

        assert b"<html" not in response.content
        assert b'id="tiles"' in response.content
        assert "HX-Request" in response["Vary"]
