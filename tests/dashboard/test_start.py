"""First run: the list says what is there now and offers what is missing; it leaves once all is there, or set aside."""

from typing import Any

import pytest
from django.core.cache import caches
from django.utils import timezone

from budgets.models import Budget
from checkpoints.models import Checkpoint
from dashboard import start
from dashboard.start.step import Step
from events.models import Event
from gateway.models import Upstream, UpstreamKey
from gateway.upstreams import registry
from guests.models import Diagnosis, Guest
from machines.models import Machine
from machines.states import State
from projects.models import Project, User
from proxmox.diagnosis.findings import Finding, Report, Status
from tests.dashboard import rows
from tests.dashboard.conftest import Browser

URL = "/start/"


@pytest.fixture
def admin(alice: User) -> User:
    User.objects.filter(pk=alice.pk).update(is_superuser=True)
    alice.refresh_from_db()
    return alice


def steps(browser: Browser, who: str = "alice") -> dict[str, Step]:
    return {row.step.key: row.step for row in browser(who).get(URL).context["rows"]}


def checked(*findings: Finding) -> None:
    Diagnosis.objects.create(finished_at=timezone.now(), findings=Report(findings).plain())


ANSWERS = Finding("Version", Status.OK, "autovibe's embedded node, version 8.4.", section="Connection")


class TestTheCluster:
    def test_nothing_is_green_that_nobody_has_looked_at(self, browser: Browser, admin: User) -> None:
        found = steps(browser)

        assert found["account"].state == "done"
        assert {key for key, step in found.items() if step.state == "done"} == {"account"}
        assert found["template"].commands == ("bin/manage template build claude-code",)

    def test_a_check_that_found_all_well_says_what_answered(self, browser: Browser, admin: User) -> None:
        checked(ANSWERS, Finding("Template 9000", Status.OK, "It is on pve1.", section="Template"))

        found = steps(browser)

        assert found["proxmox"].ready
        assert "autovibe's embedded node, version 8.4, checked 0 s ago." in found["proxmox"].said
        assert found["template"].ready

    def test_what_is_missing_comes_with_the_command_that_mends_it(
        self, browser: Browser, admin: User
    ) -> None:
        wrong = Finding(
            "Rights on /vms", Status.MISSING, "The token lacks VM.Clone.", ("pveum acl modify",), "Rights"
        )
        checked(ANSWERS, wrong)

        page = browser("alice").get(URL).content.decode()

        assert "The token lacks VM.Clone." in page
        assert "pveum acl modify" in page
        assert steps(browser)["proxmox"].state == "failed"

    def test_a_check_under_way_is_no_result(self, browser: Browser, admin: User) -> None:
        checked(ANSWERS)
        Diagnosis.objects.create(asked_by="alice")

        assert steps(browser)["proxmox"].state == "busy"

    def test_the_button_asks_for_a_check_and_comes_back(self, browser: Browser, admin: User) -> None:
        answer = browser("alice").post("/settings/", {"next": URL})

        assert answer["Location"] == URL
        assert Diagnosis.objects.exists()

    def test_a_template_that_was_only_set_up_is_good_enough_to_begin(
        self, browser: Browser, admin: User, template: Guest
    ) -> None:
        assert steps(browser)["template"].state == "enough"

    def test_a_machine_that_ran_proves_the_template(
        self, browser: Browser, admin: User, machine: Machine
    ) -> None:
        assert steps(browser)["template"].state == "done"


class TestTheModel:
    def test_the_offline_model_is_good_enough_to_begin_and_no_more(
        self, browser: Browser, admin: User
    ) -> None:
        assert steps(browser)["model"].state == "enough"

    def test_a_provider_is_named(self, browser: Browser, admin: User) -> None:
        Upstream.objects.create(name="gpu", base_url="http://10.0.0.5", dialects=["chat"], free=True)
        registry.reset()

        assert steps(browser)["model"].said == "Models are answered by gpu."

    def test_providers_that_cannot_be_used_are_no_offline_model(self, browser: Browser, admin: User) -> None:
        made = Upstream.objects.create(name="eu", base_url="https://api.example.com", dialects=["chat"])
        UpstreamKey.objects.create(upstream=made, label="a", sealed=b"unreadable")
        registry.reset()

        assert steps(browser)["model"].state == "failed"


class TestTheBudget:
    def test_it_is_set_in_place(self, browser: Browser, project: Project) -> None:
        client = browser("alice")
        assert steps(browser)["budget"].form == "budget"

        answer = client.post(f"{URL}budget/", {"project": "demo", "amount": "10"})

        made = Budget.objects.get()
        assert answer["Location"] == URL
        assert (made.limit, made.period, made.resource) == (10_000_000, "day", "money")
        assert steps(browser)["budget"].ready

    def test_nonsense_is_refused_in_words(self, browser: Browser, project: Project) -> None:
        page = browser("alice").post(f"{URL}budget/", {"project": "demo", "amount": "lots"}, follow=True)

        assert not Budget.objects.exists()
        assert "lots" in page.content.decode()


class TestTheMachine:
    def test_the_demo_is_one_machine_however_often_the_form_is_sent(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        rows.budget(project)
        client = browser("alice")
        sent = {"project": "demo", "op": client.get(URL).context["op"]}

        first, second = (client.post(f"{URL}machine/", sent) for _ in range(2))

        machine = Machine.objects.get()
        assert first["Location"] == second["Location"] == f"/machines/{machine.handle}/"
        assert steps(browser)["machine"].state == "busy"

    def test_it_is_done_when_a_checkpoint_is_there_and_not_before(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        machine = rows.machine(project, genesis)
        assert steps(browser)["machine"].state == "busy"

        made = rows.checkpoint(machine, {})

        assert steps(browser)["machine"].said == f"A machine has run, and left {made.handle} to go back to."

    def test_one_that_failed_says_so_and_is_offered_again(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        rows.machine(project, genesis, State.FAILED)

        assert (steps(browser)["machine"].state, steps(browser)["machine"].form) == ("failed", "machine")

    def test_what_cannot_be_spawned_is_refused_in_words(self, browser: Browser, project: Project) -> None:
        page = browser("alice").post(f"{URL}machine/", {"project": "demo"}, follow=True)

        assert page.redirect_chain == [(URL, 302)]
        assert not Machine.objects.exists()


class TestForEverybodyElse:
    def test_members_see_what_they_can_do_themselves(self, browser: Browser, project: Project) -> None:
        page = browser("bob").get(URL).content.decode()

        assert list(steps(browser, "bob")) == ["project", "budget", "machine", "token"]
        assert "An owner of the project can set one" in page
        assert "Run the demo" not in page

    def test_whoever_is_in_no_project_is_told_whom_to_ask(self, browser: Browser, people: Any) -> None:
        assert "Ask one of its owners to invite you" in steps(browser, "charlie")["project"].said


class TestTheStrip:
    def test_it_names_the_next_step_until_all_are_ready(
        self, browser: Browser, project: Project, machine: Machine
    ) -> None:
        Checkpoint.objects.exclude(kind="genesis").update(state="broken")
        assert "Next: A first machine" in browser("alice").get("/").content.decode()

        rows.checkpoint(machine, {})

        assert "first steps are done" not in browser("alice").get("/").content.decode()

    def test_it_can_be_set_aside_for_good_and_the_page_stays(
        self, browser: Browser, project: Project
    ) -> None:
        client = browser("alice")
        assert "first steps are done" in client.get("/").content.decode()

        client.post(f"{URL}dismiss/")
        client.post(f"{URL}dismiss/")
        caches["process"].clear()

        assert "first steps are done" not in client.get("/").content.decode()
        assert client.get(URL).status_code == 200
        assert Event.objects.filter(kind="start.dismissed").count() == 1

    def test_once_all_is_ready_it_costs_nothing(
        self, machine: Machine, alice: User, project: Project, django_assert_num_queries: Any
    ) -> None:
        assert start.strip(alice, [project]) is None
        with django_assert_num_queries(0):
            assert start.strip(alice, [project]) is None

    def test_until_then_it_costs_one_query(
        self, project: Project, admin: User, django_assert_num_queries: Any
    ) -> None:
        with django_assert_num_queries(1):
            assert start.strip(admin, [project])


def test_the_page_costs_few_queries(
    browser: Browser, admin: User, machine: Machine, django_assert_max_num_queries: Any
) -> None:
    client = browser("alice")
    client.get(URL)

    with django_assert_max_num_queries(15):
        client.get(URL)
