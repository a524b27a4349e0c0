"""Operations: what is under way and has ended, one with its steps and logs, and making one end."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from checkpoints.models import Checkpoint
from dashboard import operations as page_of
from events.models import Event
from machines.models import Machine
from operations import actions
from operations.models import Operation, Status
from projects.models import User
from tests.dashboard import rows
from tests.dashboard.conftest import Browser

UPID = "UPID:embedded:00000001:00000002:65000000:qmclone:9000:autovibe@pve!local:"


def operation(machine: Machine, verb: str = "pause", **also: Any) -> Operation:
    values = {
        "subject": machine.subject, "project": machine.project, "task": "x.y",
        "lock": f"guest:{Operation.objects.count()}", "status": Status.RUNNING,
    }  # fmt: skip
    return Operation.objects.create(verb=verb, **values | also)


def ended(machine: Machine, verb: str = "pause", seconds: float = 3, **also: Any) -> Operation:
    now = timezone.now()
    began = now - timedelta(seconds=seconds)
    return operation(
        machine, verb, **{"status": Status.SUCCEEDED, "started_at": began, "finished_at": now} | also
    )


def listed(browser: Browser, query: str = "", name: str = "alice") -> str:
    return browser(name).get(f"/operations/{query}").content.decode().partition("<main")[2]


class TestTheList:
    def test_it_tells_what_is_done_to_what_how_far_it_is_and_for_whom(
        self, browser: Browser, machine: Machine, alice: User
    ) -> None:
        operation(machine, "spawn", step="clone", requested_by=alice)

        page = listed(browser)

        assert "<strong>Spawning</strong>" in page
        assert f'href="/machines/{machine.handle}/"' in page
        assert "Step 2 of" in page
        assert "Cloning." in page
        assert "asked for by alice" in page

    def test_it_shows_nothing_of_other_peoples_projects(
        self, browser: Browser, machine: Machine, people: dict[str, User]
    ) -> None:
        operation(machine)

        page = listed(browser, name="charlie")

        assert machine.handle not in page
        assert "Nothing is under way." in page
        assert "Nothing has ended yet" in page

    def test_what_takes_twice_as_long_as_usual_is_said_to(self, browser: Browser, machine: Machine) -> None:
        for _ in range(5):
            ended(machine, "spawn", seconds=60)
        operation(machine, "spawn", started_at=timezone.now() - timedelta(seconds=90))
        assert "longer than usual" not in listed(browser)

        operation(machine, "spawn", started_at=timezone.now() - timedelta(seconds=121))

        page = listed(browser)
        assert "of usually 1 min" in page
        assert page.count("longer than usual") == 1

    def test_one_that_waits_for_its_turn_names_what_is_under_way(
        self, browser: Browser, machine: Machine
    ) -> None:
        operation(machine, "checkpoint", lock="guest:7", started_at=timezone.now())
        operation(machine, "pause", lock="guest:7", status=Status.QUEUED)

        assert "Waiting for its turn: taking a checkpoint is under way on the same VM" in listed(browser)

    def test_a_failed_one_says_why(self, browser: Browser, machine: Machine) -> None:
        ended(machine, status=Status.FAILED, error="Cloning: no space left on device")

        assert "no space left on device" in listed(browser)

    def test_routine_work_that_goes_well_is_left_out_until_it_is_asked_for(
        self, browser: Browser, machine: Machine, alice: User
    ) -> None:
        ended(machine, "checkpoint")
        operation(machine, "survey")
        assert "Taking a checkpoint" not in listed(browser).partition('id="under-way"')[2]

        assert "Taking a checkpoint" in listed(browser, "?routine=1").partition('id="under-way"')[2]
        ended(machine, "checkpoint", requested_by=alice)
        assert "Taking a checkpoint" in listed(browser).partition('id="under-way"')[2]

    def test_routine_work_that_failed_is_shown(self, browser: Browser, machine: Machine) -> None:
        ended(machine, "checkpoint", status=Status.FAILED, error="It broke.")

        assert "It broke." in listed(browser)

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("status=failed", {"terminate"}),
            ("status=operator", {"resume"}),
            ("status=active", {"spawn"}),
            ("verb=resume", {"resume"}),
            ("machine=m1", {"spawn", "resume", "terminate"}),
            ("machine=m99", set()),
            ("machine=nonsense", set()),
            ("project=demo&status=succeeded", {"pause"}),
            ("project=none", set()),
            ("status=nonsense", set()),
        ],
    )
    def test_it_is_filtered(
        self, query: str, found: set[str], browser: Browser, machine: Machine, genesis: Checkpoint
    ) -> None:
        Machine.objects.filter(pk=machine.pk).update(number=1)
        other = rows.machine(machine.project, genesis)
        operation(machine, "spawn")
        operation(machine, "resume", status=Status.NEEDS_OPERATOR, error="Unlock it.")
        ended(machine, "terminate", status=Status.FAILED)
        ended(other, "pause")

        context = browser("alice").get(f"/operations/?{query}").context

        shown = {row.operation.verb for row in [*context["under_way"], *context["ended"]]}
        assert shown == found

    def test_a_filter_that_matches_nothing_offers_a_way_back(
        self, browser: Browser, machine: Machine
    ) -> None:
        page = listed(browser, "?status=failed")

        assert "Nothing that matches has ended" in page
        assert 'href="/operations/"' in page

    def test_earlier_ones_are_a_page_further(self, browser: Browser, machine: Machine) -> None:
        now = timezone.now()
        for number in range(25):
            ended(machine, finished_at=now - timedelta(minutes=number))
        alice = browser("alice")

        first = alice.get("/operations/").context
        assert len(first["ended"]) == 20
        second = alice.get("/operations/", {"before": first["older"].isoformat()}).context

        assert len(second["ended"]) == 5
        assert not second["older"]

    @pytest.mark.parametrize("before", ["x", "2026-13-01", "2026-01-01T00:00"])
    def test_nonsense_in_the_address_is_no_error(
        self, before: str, browser: Browser, machine: Machine
    ) -> None:
        assert browser("alice").get("/operations/", {"before": before}).status_code == 200

    def test_the_drawer_brings_what_fetches_its_list_again(self, browser: Browser, machine: Machine) -> None:
        alice = browser("alice")

        drawer = alice.get("/operations/", headers={"HX-Request": "true", "HX-Target": "dialog#drawer"})
        again = alice.get("/operations/", headers={"HX-Request": "true", "HX-Target": "div#operations"})

        assert 'id="operations"' in drawer.content.decode()
        assert "<html" not in drawer.content.decode()
        assert 'id="operations"' not in again.content.decode()
        assert 'id="under-way"' in again.content.decode()

    def test_it_costs_as_many_queries_for_forty_as_for_two(
        self, browser: Browser, machine: Machine, genesis: Checkpoint, django_assert_max_num_queries: Any
    ) -> None:
        def populate(number: int) -> None:
            for _ in range(number):
                made = rows.machine(machine.project, genesis)
                operation(made, status=Status.QUEUED)
                operation(made, "prune", subject=rows.checkpoint(made).subject, status=Status.NEEDS_OPERATOR)
                ended(made, "destroy", subject=made.guest.subject)

        alice = browser("alice")
        populate(2)
        alice.get("/operations/")
        with django_assert_max_num_queries(15) as few:
            alice.get("/operations/")
        populate(38)
        with django_assert_max_num_queries(15) as many:
            alice.get("/operations/")

        assert len(many) <= len(few)


class TestTheCount:
    def test_it_is_of_what_is_under_way_and_no_routine(
        self, machine: Machine, people: dict[str, User]
    ) -> None:
        operation(machine)
        operation(machine, "checkpoint")
        ended(machine)

        assert page_of.under_way(people["bob"]).count() == 1
        assert page_of.under_way(people["charlie"]).count() == 0


class TestOne:
    def test_it_tells_its_steps_how_long_each_took_and_what_its_tasks_came_to(
        self, browser: Browser, machine: Machine
    ) -> None:
        now = timezone.now()
        task = {
            "upid": UPID,
            "result": "clone failed: out of space",
            "log": "create full clone\nTASK ERROR: out of space",
        }
        found = ended(
            machine, "spawn", step="clone", status=Status.FAILED, error="Cloning: out of space",
            started_at=now - timedelta(seconds=64), finished_at=now,
            trail=[
                {"step": "rewind", "at": (now - timedelta(seconds=64)).isoformat(), "tasks": []},
                {"step": "clone", "at": (now - timedelta(seconds=61)).isoformat(), "tasks": [task]},
            ],
        )  # fmt: skip

        page = browser("bob").get(f"/operations/{found.pk}/").content.decode().partition("<main")[2]

        assert "Cloning<" in page
        assert "3.0 s" in page
        assert "1 min 1 s" in page
        assert UPID in page
        assert "clone failed: out of space" in page
        assert "TASK ERROR: out of space" in page
        assert "nothing to do" not in page

    def test_what_a_task_printed_is_text(self, browser: Browser, machine: Machine) -> None:
        task = {"upid": UPID, "result": "x", "log": "\x1b[31m<script>alert(1)</script>"}
        found = ended(
            machine, "spawn", step="clone",
            trail=[{"step": "clone", "at": timezone.now().isoformat(), "tasks": [task]}],
        )  # fmt: skip

        page = browser("alice").get(f"/operations/{found.pk}/").content.decode()

        assert "<script>alert" not in page
        assert "\x1b" not in page

    def test_one_from_before_steps_were_noted_says_so(self, browser: Browser, machine: Machine) -> None:
        found = ended(machine, "spawn", step="launch")

        assert "They were not noted" in browser("alice").get(f"/operations/{found.pk}/").content.decode()

    def test_it_is_not_there_for_outsiders(self, browser: Browser, machine: Machine) -> None:
        assert browser("charlie").get(f"/operations/{operation(machine).pk}/").status_code == 404

    def test_it_costs_few_queries(
        self, browser: Browser, machine: Machine, django_assert_max_num_queries: Any
    ) -> None:
        found, alice = operation(machine), browser("alice")
        alice.get("/operations/")

        with django_assert_max_num_queries(15):
            alice.get(f"/operations/{found.pk}/")


class TestMakingOneEnd:
    @pytest.fixture
    def queued(self, machine: Machine, alice: User) -> Operation:
        with transaction.atomic():
            return actions.begin(
                "pause",
                subject=machine.subject,
                project=machine.project,
                lock="guest:1",
                task="x.y",
                by=alice,
            )

    @pytest.fixture
    def stuck(self, machine: Machine) -> Operation:
        return operation(machine, status=Status.NEEDS_OPERATOR, error="Unlock it.", started_at=timezone.now())

    def test_what_no_worker_has_begun_is_cancelled(self, browser: Browser, queued: Operation) -> None:
        alice = browser("alice")
        assert "Cancel…" in listed(browser)

        page = alice.post(f"/operations/{queued.pk}/cancel/", follow=True).content.decode()

        queued.refresh_from_db()
        assert queued.given_up_by == "alice"
        assert "ends as soon as a worker comes to it" in page
        assert Event.objects.filter(kind="operation.cancelled").exists()

    def test_what_waits_for_an_operator_is_given_up(
        self, browser: Browser, stuck: Operation, machine: Machine
    ) -> None:
        response = browser("alice").post(f"/operations/{stuck.pk}/give-up/", {"typed": machine.handle})

        stuck.refresh_from_db()
        assert (stuck.status, stuck.given_up_by) == (Status.QUEUED, "alice")
        assert response["Location"] == f"/machines/{machine.handle}/"

    def test_before_that_it_is_said_what_follows(
        self, browser: Browser, stuck: Operation, machine: Machine
    ) -> None:
        card = browser("alice").get(f"/operations/{stuck.pk}/give-up/").content.decode()

        assert f"Give up pausing {machine.handle}?" in card
        assert "its VM is switched off" in card
        assert "Its 2 checkpoints stay" in card
        assert "cannot be taken back" in card

    def test_what_loses_work_wants_the_name_typed(
        self, browser: Browser, stuck: Operation, machine: Machine
    ) -> None:
        for typed in ("", "m99999"):
            asked = browser("alice").post(f"/operations/{stuck.pk}/give-up/", {"typed": typed})
            assert asked.status_code == 422

        assert f"That is not {machine.handle}. Nothing was done." in asked.content.decode()
        stuck.refresh_from_db()
        assert stuck.given_up_by == ""

    def test_one_that_a_worker_has_is_left_alone(self, browser: Browser, machine: Machine) -> None:
        found = operation(machine, started_at=timezone.now())
        alice = browser("alice")

        card = alice.get(f"/operations/{found.pk}/cancel/").content.decode()
        page = alice.post(f"/operations/{found.pk}/cancel/", follow=True).content.decode()

        assert 'type="submit" autofocus' not in card
        assert "can be ended" in page
        found.refresh_from_db()
        assert found.given_up_by == ""

    def test_members_who_only_look_may_not(self, browser: Browser, stuck: Operation) -> None:
        assert "Give up" not in listed(browser, name="bob")
        assert browser("bob").post(f"/operations/{stuck.pk}/give-up/").status_code == 403
        assert browser("charlie").post(f"/operations/{stuck.pk}/give-up/").status_code == 404

    def test_work_on_a_vm_of_no_machine_leads_back_to_the_list(
        self, browser: Browser, machine: Machine
    ) -> None:
        found = operation(
            machine,
            "destroy",
            subject=machine.guest.subject,
            status=Status.NEEDS_OPERATOR,
            error="Unlock it.",
        )

        response = browser("alice").post(f"/operations/{found.pk}/give-up/")

        assert response["Location"] == "/operations/"
