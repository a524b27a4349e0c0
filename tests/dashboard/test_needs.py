"""The page of everything that waits for a person, and what can be done about it there."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from budgets import requests
from budgets.models import BudgetRequest
from checkpoints.models import Checkpoint
from dashboard import needs
from events.models import Event
from machines.models import Machine
from machines.states import State
from operations.models import Operation
from projects.models import Project, User
from tests.dashboard import rows
from tests.dashboard.conftest import Browser

PAGE = "/needs-you/"


@pytest.fixture
def failed(project: Project, genesis: Checkpoint) -> Machine:
    made = rows.machine(project, genesis, State.FAILED, sentence="The disk was full.")
    rows.checkpoint(made, {"a": "b"})
    return made


class TestTheList:
    def test_the_longest_waiting_is_first_whatever_it_is(
        self, browser: Browser, project: Project, genesis: Checkpoint, people: dict[str, User]
    ) -> None:
        now = timezone.now()
        silent = rows.machine(project, genesis, heard_at=now - timedelta(hours=2))
        asked = requests.ask_for(rows.budget(project), 2_500_000, by=people["bob"], reason="Long tests")
        BudgetRequest.objects.filter(pk=asked.pk).update(created_at=now - timedelta(hours=1))
        failed = rows.machine(project, genesis, State.FAILED, ended_at=now)

        page = browser("alice").get(PAGE).content.decode()

        places = [
            page.index(f'id="needs-{one}"') for one in (silent.handle, f"request-{asked.pk}", failed.handle)
        ]
        assert places == sorted(places)
        assert 'data-problems="3"' in page

    def test_what_is_stuck_has_waited_since_that_began_whenever_its_guest_was_heard_from(
        self, project: Project, genesis: Checkpoint
    ) -> None:
        now = timezone.now()
        rows.machine(project, genesis, State.FAILED, ended_at=now - timedelta(hours=1))
        stuck = rows.machine(project, genesis, State.PAUSING, heard_at=now)
        asked = rows.stuck(stuck, "pause")
        Operation.objects.filter(pk=asked.pk).update(created_at=now - timedelta(hours=2))

        first, _ = needs.attention(Machine.objects.all()).select_related("guest")

        assert first == stuck
        assert needs.since(first) == now - timedelta(hours=2)

    def test_what_went_on_since_it_was_paused_does_not_wait_since_then(
        self, project: Project, genesis: Checkpoint
    ) -> None:
        now = timezone.now()
        rows.machine(project, genesis, State.FAILED, ended_at=now - timedelta(hours=1))
        rows.machine(project, genesis, heard_at=now - timedelta(minutes=2), paused_at=now - timedelta(days=3))

        first, second = needs.attention(Machine.objects.all()).select_related("guest")

        assert first.state == State.FAILED
        assert needs.since(second) == second.heard_at

    def test_when_nothing_does_it_says_what_goes_on(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        rows.machine(project, genesis)

        page = browser("alice").get(PAGE).content.decode()

        assert "Nothing needs you" in page
        assert "1 machine runs." in page

    def test_nothing_of_other_peoples_projects_is_in_it(self, browser: Browser, failed: Machine) -> None:
        page = browser("charlie").get(PAGE).content.decode()

        assert failed.handle not in page
        assert "Nothing needs you" in page

    def test_it_costs_as_many_queries_for_many_as_for_few(
        self, browser: Browser, project: Project, genesis: Checkpoint, django_assert_max_num_queries
    ) -> None:
        def populate(number: int) -> None:
            for _ in range(number):
                rows.checkpoint(rows.machine(project, genesis, State.FAILED), {"a": "b"})

        alice = browser("alice")
        populate(2)
        with django_assert_max_num_queries(15) as few:
            alice.get(PAGE)
        populate(30)
        with django_assert_max_num_queries(15) as many:
            alice.get(PAGE)

        assert len(many) <= len(few)


class TestActing:
    def test_a_failure_that_was_seen_leaves_the_list_for_everybody_and_is_recorded(
        self, browser: Browser, failed: Machine
    ) -> None:
        alice = browser("alice")

        for _ in range(2):
            said = alice.post(f"/machines/{failed.handle}/acknowledge/", follow=True).content.decode()

        assert "needs nobody any more" in said
        assert "Nothing needs you" in said
        assert f'id="needs-{failed.handle}"' not in browser("bob").get("/").content.decode()
        seen = Event.objects.get(kind=needs.ACKNOWLEDGED)
        assert (seen.actor, seen.subject) == ("alice", failed.subject)

    def test_one_that_fails_again_is_listed_again(self, browser: Browser, failed: Machine) -> None:
        alice = browser("alice")
        alice.post(f"/machines/{failed.handle}/acknowledge/")
        Machine.objects.filter(pk=failed.pk).update(ended_at=timezone.now())

        assert f'id="needs-{failed.handle}"' in alice.get(PAGE).content.decode()

    def test_what_runs_cannot_be_acknowledged(self, browser: Browser, machine: Machine) -> None:
        said = browser("alice").post(f"/machines/{machine.handle}/acknowledge/", follow=True)

        assert "there is no failure to acknowledge" in said.content.decode()
        assert not Event.objects.filter(kind=needs.ACKNOWLEDGED).exists()

    def test_one_resumes_it_there_and_stays(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        paused = rows.machine(project, genesis, State.PAUSED, paused_for="guest", sentence="It is off.")

        answer = browser("alice").post(f"/machines/{paused.handle}/resume/", {"next": PAGE})

        assert answer["Location"] == PAGE
        paused.refresh_from_db()
        assert paused.state == State.RESUMING

    def test_a_page_elsewhere_is_not_gone_on_with(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        paused = rows.machine(project, genesis, State.PAUSED, paused_for="guest")

        answer = browser("alice").post(
            f"/machines/{paused.handle}/resume/", {"next": "https://elsewhere.test/"}
        )

        assert answer["Location"] == f"/machines/{paused.handle}/"

    def test_what_a_paused_machine_asks_for_is_granted_in_place(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        budget = rows.budget(project)
        paused = rows.machine(
            project, genesis, State.PAUSED, paused_for="budget", sentence="Nothing is left.",
        )  # fmt: skip
        asked = requests.ask_for(budget, 2_500_000, by=None, machine_id=paused.pk, automatic=True)
        alice = browser("alice")

        assert "Raise its limit by" in alice.get(PAGE).content.decode()
        answer = alice.post(
            f"/budgets/requests/{asked.pk}/", {"do": "grant", "shown": 2_500_000, "next": PAGE}
        )

        assert answer["Location"] == PAGE
        budget.refresh_from_db()
        assert budget.limit == 22_500_000

    def test_whoever_may_only_look_is_offered_nothing(self, browser: Browser, failed: Machine) -> None:
        page = browser("bob").get(PAGE).content.decode()

        assert f'id="needs-{failed.handle}"' in page
        listed = page.partition('<ol class="waiting">')[2].partition("</ol>")[0]
        assert set(re.findall(r'action="([^"]*)"', listed)) == {"/needs-you/snooze/"}

    def test_work_that_waits_for_an_operator_can_be_given_up_there(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        machine = rows.machine(project, genesis)
        waiting = rows.stuck(machine, "checkpoint")

        assert f"/operations/{waiting.pk}/give-up/" in browser("alice").get(PAGE).content.decode()
