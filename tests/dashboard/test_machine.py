"""The machine page: what it tells, what it offers, and its log."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from budgets import actions as budgets
from checkpoints.models import Checkpoint
from machines.models import Machine
from machines.states import State
from operations.models import Operation
from projects.models import Project, User
from tests.dashboard import rows
from tests.dashboard.conftest import Browser

MOST = 15  # queries


def page_of(browser: Browser, machine: Machine, who: str = "alice", tab: str = "") -> str:
    return browser(who).get(f"/machines/{machine.handle}/", {"tab": tab} if tab else {}).content.decode()


class TestThePage:
    def test_it_tells_state_guest_prompt_checkpoints_and_cost(
        self, browser: Browser, machine: Machine
    ) -> None:
        page = page_of(browser, machine)

        for words in (
            "Running",
            f"VM {machine.guest.vmid} on embedded",
            "After answer 1",
            "$0.0123",
            "hello",
        ):
            assert words in page
        assert page.index('id="point-1"') < page.index('id="point-2"')

    def test_its_own_limit_is_drawn(self, browser: Browser, machine: Machine, alice: User) -> None:
        assert 'id="burndown"' not in page_of(browser, machine, tab="cost")
        scope = f"Machine {machine.handle}"
        budgets.set_limit(machine.project, "money", 5_000_000, by=alice, machine_id=machine.id, scope=scope)

        page = page_of(browser, machine, tab="cost")

        assert 'id="burndown"' in page
        assert f'href="/p/{machine.project.slug}/budget/' in page

    def test_it_offers_only_what_is_possible(self, browser: Browser, machine: Machine) -> None:
        page = page_of(browser, machine)

        assert 'id="ask-pause"' in page
        assert 'id="ask-terminate"' in page
        assert 'id="ask-resume"' not in page

    def test_it_tells_the_steps_of_what_is_under_way(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        machine = rows.machine(project, genesis, State.PROVISIONING)
        operation(machine, status="waiting", step="agent")

        page = page_of(browser, machine)

        assert "Spawning" in page
        assert 'aria-current="step"' in page
        assert (
            page.index("Starting the VM") < page.index('aria-current="step"') < page.index("Writing prompt")
        )

    def test_it_tells_where_a_machine_failed(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        machine = rows.machine(project, genesis, State.FAILED, sentence="Cloning: no space is left.")
        operation(machine, status="failed", step="clone", error="Cloning: no space is left.")

        page = page_of(browser, machine)

        assert "Spawning failed" in page
        assert "step-broken" in page
        assert "<strong>Cloning</strong>: Cloning: no space is left." in page

    def test_what_led_to_a_failure_stands_beside_the_step_that_broke(
        self, browser: Browser, machine: Machine
    ) -> None:
        upid = f"UPID:embedded:0000A:0000B:65000000:qmstart:{machine.guest.vmid}:autovibe@pve!local:"
        task = {"upid": upid, "result": "start failed", "log": "kvm: cannot allocate memory"}
        failed = operation(
            machine, status="failed", step="start", error="It did not start.", finished_at=timezone.now(),
            trail=[passed("clone", 60), passed("start") | {"tasks": [task]}],
        )  # fmt: skip
        Machine.objects.filter(pk=machine.pk).update(state=State.FAILED, ended_at=timezone.now())
        last = machine.log.order_by("-id").first()

        page = page_of(browser, machine)
        card = page[page.index('id="progress"') : page.index('id="go-on"')]

        assert f'<a class="operation-upid" href="/operations/{failed.pk}/"><code>{upid}</code></a>' in card
        assert "kvm: cannot allocate memory" in card
        assert last is not None
        assert f"{last.text}</span>" in card
        assert f"?line={last.pk - 1}#L{last.pk - 1}" in card
        assert f"Branch from {machine.handle}.c2" in page
        assert f'href="/machines/new/?like={machine.handle}"' in page

    def test_steps_are_told_with_how_long_they_take_and_usually_take(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        machine = rows.machine(project, genesis, State.PROVISIONING)
        now = timezone.now()
        for _ in range(5):
            operation(
                machine, status="succeeded", finished_at=now - timedelta(seconds=50),
                trail=[passed("clone", 100, now=now), passed("start", 60, now=now)],
            )  # fmt: skip
        operation(
            machine, status="waiting", step="start", step_began_at=now - timedelta(seconds=7),
            trail=[passed("clone", 19, now=now), passed("start", 7, now=now)],
        )  # fmt: skip

        page = page_of(browser, machine)
        steps = page[page.index('<ol class="steps">') :].split("</li>")

        clone = next(step for step in steps if "Cloning" in step)
        start = next(step for step in steps if "Starting the VM" in step)
        assert "12.0 s" in clone
        assert "data-tick" in start
        assert "usually 10.0 s" in start
        assert f'href="/operations/?machine={machine.handle}"' in page

    def test_sums_are_those_of_all_calls(self, browser: Browser, machine: Machine) -> None:
        rows.call(machine, cost_micros=1_000_000)

        page = page_of(browser, machine, tab="cost")

        assert page.count("$1.0123") == 3  # the model's, both tables' sums
        assert "$1.0123" in page_of(browser, machine)

    def test_it_labels_the_offline_model(self, browser: Browser, machine: Machine) -> None:
        assert "offline model</span>" not in page_of(browser, machine)

        rows.call(machine, offline=True)

        assert "offline model</span>" in page_of(browser, machine)

    def test_what_agents_wrote_is_never_markup(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        nasty = "<script>alert(1)</script>"
        machine = rows.machine(project, genesis, prompt=nasty, sentence=nasty, state=State.FAILED)
        rows.checkpoint(machine, {nasty: nasty}, why=nasty)
        rows.log(machine, nasty)

        page = page_of(browser, machine)

        assert nasty not in page
        assert page.count("&lt;script&gt;") >= 4

    def test_it_costs_as_many_queries_for_many_checkpoints_as_for_few(
        self, browser: Browser, machine: Machine, django_assert_max_num_queries
    ) -> None:
        alice = browser("alice")
        with django_assert_max_num_queries(MOST) as few:
            alice.get(f"/machines/{machine.handle}/")
        for number in range(20):
            rows.checkpoint(machine, {"a": str(number)})
            rows.call(machine)
        with django_assert_max_num_queries(MOST) as many:
            alice.get(f"/machines/{machine.handle}/")

        assert len(many) == len(few)

    @pytest.mark.parametrize("state", [State.PROVISIONING, State.RUNNING, State.PAUSED, State.FAILED])
    def test_it_costs_few_queries_in_every_state(
        self,
        state: State,
        browser: Browser,
        project: Project,
        genesis: Checkpoint,
        django_assert_max_num_queries,
    ) -> None:
        machine = rows.machine(project, genesis, state)
        rows.checkpoint(machine, {"hello.py": "print('hello')\n"})
        rows.log(machine, "hello")
        rows.call(machine, state="streaming", duration_ms=None)
        if state in {State.PROVISIONING, State.FAILED}:
            status = "failed" if state == State.FAILED else "waiting"
            operation(machine, status=status, step="agent", trail=[passed("agent")])
        alice = browser("alice")
        alice.get(f"/machines/{machine.handle}/")  # what is kept in the process for a minute is known now

        with django_assert_max_num_queries(MOST):
            alice.get(f"/machines/{machine.handle}/")

    @pytest.mark.parametrize("tab", ["timeline", "checkpoints", "files", "cost", "events"])
    def test_every_view_holds_its_own_and_costs_few_queries(
        self, tab: str, browser: Browser, machine: Machine, django_assert_max_num_queries
    ) -> None:
        alice = browser("alice")
        with django_assert_max_num_queries(MOST):
            page = alice.get(f"/machines/{machine.handle}/?tab={tab}").content.decode()
        past = alice.get(f"/machines/{machine.handle}/?tab={tab}&at=1").content.decode()

        assert f'tab={tab}" aria-current="page"' in page
        assert 'id="log"' not in page
        assert "Show it as of" in page
        assert f'data-address="/machines/{machine.handle}/?tab={tab}&amp;at=1"' in past

    def test_files_are_those_of_the_present_checkpoint_or_of_the_moment(
        self, browser: Browser, machine: Machine
    ) -> None:
        assert "hello.py" in page_of(browser, machine, tab="files")
        past = browser("bob").get(f"/machines/{machine.handle}/?tab=files&at=1").content.decode()
        assert "hello.py" not in past

    def test_a_verb_that_is_not_possible_says_why_and_can_be_reached(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        machine = rows.machine(project, genesis, State.PAUSING)

        page = page_of(browser, machine)

        assert 'id="ask-checkpoint" aria-disabled="true"' in page
        assert "nothing can be asked of it until that is done" in page or "is not possible now" in page

    def test_every_verb_names_its_key(self, browser: Browser, machine: Machine) -> None:
        page = page_of(browser, machine)

        assert [key for key in "ocpt" if f'data-key="{key}"' in page] == list("ocpt")

    def test_calls_that_nobody_has_a_price_for_are_flagged(self, browser: Browser, machine: Machine) -> None:
        rows.call(machine, cost_micros=0)
        machine.calls.filter(cost_micros=0).update(model="nobody-knows-it")

        page = page_of(browser, machine, tab="cost")

        assert "1 call without a price" in page
        assert ">unknown</span>" in page

    def test_it_tells_of_silence_and_of_what_takes_longer_than_usual(
        self, browser: Browser, machine: Machine
    ) -> None:
        for _ in range(5):
            rows.call(machine)
        rows.call(
            machine, state="streaming", duration_ms=None, started_at=timezone.now() - timedelta(seconds=40)
        )
        machine.log.update(at=timezone.now() - timedelta(minutes=6))

        page = page_of(browser, machine)

        assert "No output for" in page
        assert "6 min" in page
        assert "Model call 7 is taking longer than usual: 40 s (median 2.4 s)." in page

    def test_the_fragment_leaves_the_log_alone(self, browser: Browser, machine: Machine) -> None:
        response = browser("alice").get(f"/machines/{machine.handle}/", headers={"HX-Request": "true"})

        assert b"<html" not in response.content
        assert b'id="log-card" hx-morph-skip' in response.content
        assert b"hello" not in response.content


class TestVerbs:
    def test_pausing_by_a_plain_post_leads_back_to_the_machine(
        self, browser: Browser, machine: Machine
    ) -> None:
        response = browser("alice").post(f"/machines/{machine.handle}/pause/", follow=True)

        machine.refresh_from_db()
        assert machine.state == State.PAUSING
        assert response.redirect_chain == [(f"/machines/{machine.handle}/", 302)]
        assert "is being paused" in response.content.decode()

    def test_a_second_click_is_told_what_is_possible(self, browser: Browser, machine: Machine) -> None:
        alice = browser("alice")
        alice.post(f"/machines/{machine.handle}/pause/")

        page = alice.post(f"/machines/{machine.handle}/pause/", follow=True).content.decode()

        assert "not possible now" in page
        assert Operation.objects.filter(subject=machine.subject, verb="pause").count() == 1

    def test_terminating_says_first_what_it_does(self, browser: Browser, machine: Machine) -> None:
        page = browser("alice").get(f"/machines/{machine.handle}/terminate/").content.decode()

        machine.refresh_from_db()
        assert "Its 2 checkpoints and the final one stay" in page
        assert f"VM {machine.guest.vmid} is switched off" in page
        assert machine.state == State.RUNNING

    def test_the_dialog_is_the_same_card(self, browser: Browser, machine: Machine) -> None:
        response = browser("alice").get(
            f"/machines/{machine.handle}/terminate/", headers={"HX-Request": "true"}
        )

        assert b"<html" not in response.content
        assert b"switched off" in response.content

    def test_an_impossible_verb_has_no_button(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        machine = rows.machine(project, genesis, State.STOPPING)

        page = browser("alice").get(f"/machines/{machine.handle}/terminate/").content.decode()

        assert "nothing can be asked of it until that is done" in page
        assert 'type="submit" autofocus' not in page


class TestRollback:
    def test_it_begins_and_says_so(self, browser: Browser, machine: Machine) -> None:
        first = Checkpoint.objects.of(machine.subject).first()
        assert first is not None

        page = browser("alice").post(
            f"/machines/{machine.handle}/rollback/", {"to": first.handle}, follow=True
        )

        machine.refresh_from_db()
        assert machine.state == State.RESTORING
        assert f"is going back to {first.handle}" in page.content.decode()

    def test_it_says_first_what_is_kept(
        self, browser: Browser, machine: Machine, checkpoint: Checkpoint
    ) -> None:
        page = (
            browser("alice")
            .get(f"/machines/{machine.handle}/rollback/?to={checkpoint.handle}")
            .content.decode()
        )

        assert "kept in a checkpoint first" in page

    @pytest.mark.parametrize("to", ["", "nonsense", "demo.c0"])
    def test_it_knows_only_the_machines_own_checkpoints(
        self, to: str, browser: Browser, machine: Machine
    ) -> None:
        response = browser("alice").get(f"/machines/{machine.handle}/rollback/", {"to": to})

        assert response.status_code == 404


class TestTheLog:
    def test_it_is_read_on_from_the_last_line(self, browser: Browser, machine: Machine) -> None:
        first = machine.log.order_by("id").first()
        assert first is not None

        answer = browser("bob").get(f"/machines/{machine.handle}/log.json?after={first.pk}").json()

        assert [line["text"] for line in answer["lines"]] == ["world"]
        assert answer["newer"] is False

    @pytest.mark.parametrize("after", ["", "x", "-1", "9" * 30])
    def test_nonsense_begins_at_the_beginning(self, after: str, browser: Browser, machine: Machine) -> None:
        answer = browser("bob").get(f"/machines/{machine.handle}/log.json?after={after}").json()

        assert len(answer["lines"]) == 2

    def test_what_only_a_terminal_understands_is_left_out(self, browser: Browser, machine: Machine) -> None:
        rows.log(machine, "\x1b[1;31mred\x1b[0m", "10 %\r20 %\r", "\x1b]0;title\x07said")

        answer = browser("bob").get(f"/machines/{machine.handle}/log.json").json()

        assert [line["text"] for line in answer["lines"]][2:] == ["red", "20 %", "said"]

    def test_a_long_log_comes_in_parts(self, browser: Browser, machine: Machine) -> None:
        rows.log(machine, *(f"line {number}" for number in range(2500)))

        answer = browser("bob").get(f"/machines/{machine.handle}/log.json").json()
        rest = (
            browser("bob")
            .get(f"/machines/{machine.handle}/log.json?after={answer['lines'][-1]['id']}")
            .json()
        )

        assert answer["newer"] is True
        assert len(answer["lines"]) + len(rest["lines"]) == 2502


def passed(step: str, seconds_ago: float = 0, *, now: datetime | None = None) -> dict[str, Any]:
    """A step of a trail, entered so long ago."""
    return {
        "step": step,
        "at": ((now or timezone.now()) - timedelta(seconds=seconds_ago)).isoformat(),
        "tasks": [],
    }


def operation(machine: Machine, **fields: object) -> Operation:
    values = {
        "verb": "spawn",
        "task": "machines.tasks.spawn",
        "started_at": timezone.now() - timedelta(seconds=9),
    }
    return Operation.objects.create(
        subject=machine.subject, project=machine.project, lock=machine.guest.subject, **values | fields
    )


def test_the_log_answers_json(browser: Browser, machine: Machine) -> None:
    response = browser("bob").get(f"/machines/{machine.handle}/log.json")

    assert set(json.loads(response.content)["lines"][0]) == {
        *("id", "at", "clock", "stream", "text", "pieces", "bad", "missing")
    }
