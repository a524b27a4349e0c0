"""Pausing, resuming, terminating, rolling back and checkpointing: what may be asked when, and by whom."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from checkpoints.models import Checkpoint
from checkpoints.states import State as CheckpointState
from guests import actions as guests
from machines import actions, tokens
from machines.models import LogLine, Machine
from machines.reports import report
from machines.states import VERBS, State
from operations.models import Operation
from projects.errors import Conflict, Invalid


def put_into(machine: Machine, state: State) -> Machine:
    Machine.objects.filter(pk=machine.pk).update(state=state)
    machine.refresh_from_db()
    return machine


class TestVerb:
    @pytest.mark.parametrize("verb", ["pause", "resume", "terminate", "checkpoint"])
    @pytest.mark.parametrize("state", list(State))
    def test_it_is_done_only_in_the_states_of_the_table(self, machine, alice, verb, state):
        put_into(machine, state)
        ask = getattr(actions, verb)

        if state in VERBS[verb]:
            ask(machine, by=alice)
            assert Operation.objects.filter(verb__in={verb, "cancel"}).exists()
        else:
            with pytest.raises(Conflict, match=f"{machine.handle} is"):
                ask(machine, by=alice)
            assert not Operation.objects.exclude(verb="spawn").exists()

    @pytest.mark.parametrize("verb", ["pause", "terminate", "checkpoint"])
    @pytest.mark.parametrize(("who", "status"), [("alice", 202), ("bob", 403), ("charlie", 404)])
    def test_who_may_over_rest(self, api, machine, verb, who, status):
        assert api(who).post(f"/api/v1/machines/{machine.handle}/{verb}/").status_code == status

    def test_a_second_terminate_is_a_conflict_that_names_the_state(self, api, machine):
        first, second = (api("alice").post(f"/api/v1/machines/{machine.handle}/terminate/") for _ in range(2))

        assert (first.status_code, second.status_code) == (202, 409)
        assert "is stopping" in second.json()["detail"]


class TestTerminate:
    def test_a_final_checkpoint_is_prepared(self, machine, alice):
        actions.terminate(machine, by=alice)

        final = Checkpoint.objects.get(kind=Checkpoint.Kind.FINAL)
        assert (final.handle, final.parent) == (f"{machine.handle}.c1", machine.source)


class TestRollback:
    @pytest.fixture
    def target(self, machine, alice) -> Checkpoint:
        target = actions.checkpoint(machine, by=alice)
        target.move(CheckpointState.CAPTURED)
        return target

    def test_the_present_is_kept_first(self, machine, target, alice):
        actions.rollback(machine, target, by=alice)

        kept = machine.present
        assert (kept.why, kept.parent) == (f"Before the return to {target.handle}", target)
        assert machine.state == State.RESTORING

    def test_an_ended_machine_runs_again_from_its_checkpoint(self, machine, target, alice):
        put_into(machine, State.TERMINATED)
        guests.set_at_rest(machine.guest, True)  # its last checkpoint is its present

        actions.rollback(machine, target, by=alice)

        assert machine.state == State.RESTORING
        assert "checkpoint" not in Operation.objects.get(verb="rollback").arguments

    def test_one_whose_end_could_not_be_kept_is_kept_before_it_goes_back(self, machine, target, alice):
        put_into(machine, State.FAILED)

        actions.rollback(machine, target, by=alice)

        assert "checkpoint" in Operation.objects.get(verb="rollback").arguments

    def test_a_checkpoint_of_another_machine_is_refused(self, machine, target, spawn, alice):
        other = put_into(spawn(), State.RUNNING)

        with pytest.raises(Conflict, match=f"autovibe branch {target.handle}"):
            actions.rollback(other, target, by=alice)


class TestOutOfBudget:
    def test_the_machine_is_kept_and_paused_with_the_reason(self, machine):
        actions.out_of_budget(machine, "Nothing is left.")

        assert (machine.state, machine.paused_for, machine.sentence) == (
            State.PAUSING,
            "budget",
            "Nothing is left.",
        )
        assert machine.present.why == "The budget ended"

    def test_a_second_refusal_changes_nothing(self, machine):
        actions.out_of_budget(machine, "Nothing is left.")
        actions.out_of_budget(machine, "Nothing is left.")

        assert Operation.objects.filter(verb="pause").count() == 1


class TestReport:
    @pytest.fixture
    def run(self, machine) -> str:
        run = uuid.uuid4()
        Machine.objects.filter(pk=machine.pk).update(run=run)
        machine.run = run
        return str(run)

    def test_a_line_that_arrives_twice_is_kept_once(self, machine, run):
        sent = {"run": run, "lines": [[1, 1_700_000_000.5, "out", "hello"]]}

        report(machine, sent)
        report(machine, sent)

        assert LogLine.objects.get().text == "hello"

    @pytest.mark.parametrize("told", [-62_135_596_800, 1_700_000_000, 253_402_300_799])
    def test_a_line_of_a_clock_that_is_far_off_is_of_now(self, machine, run, told):
        report(machine, {"run": run, "lines": [[1, told, "out", "hello"]]})

        assert abs(LogLine.objects.get().at - timezone.now()) < timedelta(minutes=1)

    def test_the_agents_end_begins_the_machines_end_once(self, machine, run):
        sent = {"run": run, "lines": [], "ended": {"exit_code": 0, "sentence": "Done."}}

        report(machine, sent)
        report(machine, sent)

        machine.refresh_from_db()
        assert (machine.state, machine.exit_code, machine.sentence) == (State.STOPPING, 0, "Done.")
        assert Operation.objects.filter(verb="terminate").count() == 1

    def test_the_end_of_a_run_that_a_rollback_made_void_changes_nothing(self, machine, run):
        answer = report(machine, {"run": str(uuid.uuid4()), "ended": {"exit_code": 1}})

        machine.refresh_from_db()
        assert (machine.state, answer) == (State.RUNNING, {"stop": True})

    def test_the_end_of_a_paused_machines_agent_waits_for_somebody(self, machine, run):
        put_into(machine, State.PAUSED)

        report(machine, {"run": run, "ended": {"exit_code": 2}})

        machine.refresh_from_db()
        assert (machine.state, machine.exit_code) == (State.PAUSED, 2)

    @pytest.mark.parametrize(
        "line", [[1], "x", [1, "now", "out", "x"], [1, 1.0, "tty", "x"], [1, 1e30, "out", "x"]]
    )
    def test_nonsense_is_refused(self, machine, run, line):
        with pytest.raises(Invalid):
            report(machine, {"run": run, "lines": [line]})


class TestToken:
    def test_it_opens_only_while_it_is_the_latest(self, machine):
        first, second = tokens.mint(machine), tokens.mint(machine)

        assert tokens.authenticate(first) is None
        assert tokens.authenticate(second) == machine

    def test_it_dies_with_the_machine(self, machine):
        key = tokens.mint(machine)
        tokens.revoke(machine)

        assert tokens.authenticate(key) is None
