"""How an operation walks through its plan, whatever happens to the worker."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from django_q.models import OrmQ

from events.models import Event
from operations import actions, engine, watcher
from operations.engine import Later, Outcome, Plan, Step
from operations.models import Operation, Status
from projects.errors import Conflict
from projects.models import Project, User
from proxmox import errors

UPID = "UPID:embedded:00000001:00000002:65000000:qmclone:9000:autovibe@pve!local:"


class Notebook:
    """The context of a plan for these tests: what was done, in order."""

    def __init__(self) -> None:
        self.done: list[str] = []


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


@pytest.fixture
def begin(project: Project, alice: User) -> Callable[..., Operation]:
    @transaction.atomic
    def begin(lock: str = "guest:1") -> Operation:
        return actions.begin("test", subject="test:1", project=project, lock=lock, task="x.y", by=alice)

    return begin


def plan(notebook: Notebook, *steps: Step[Notebook], **more: Any) -> Plan[Notebook]:
    return Plan(
        **more,
        load=lambda operation: notebook,
        steps=steps,
        succeed=lambda context: context.done.append("succeeded"),
        fail=lambda context, sentence: context.done.append(f"failed: {sentence}"),
    )


def step(name: str, *outcomes: Outcome | Exception, **more: object) -> Step[Notebook]:
    """A step that does as told, one outcome per call, and notes that it was called."""
    left = list(outcomes)

    def act(context: Notebook) -> Outcome:
        context.done.append(name)
        outcome = left.pop(0) if left else None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return Step(name, name.title(), act, **more)  # type: ignore[arg-type]


def deliver(operation: Operation, how: Plan[Notebook]) -> Operation:
    """The queue hands the operation to a worker."""
    engine.perform(str(operation.id), how)
    operation.refresh_from_db()
    return operation


def let_time_pass(operation: Operation) -> None:
    Operation.objects.filter(pk=operation.pk).update(resume_at=timezone.now())
    for due in Operation.objects.due():
        actions.resume(due, expect=Status(due.status))


class TestPerform:
    def test_it_does_all_steps_in_one_go_when_none_has_to_wait(self, begin, notebook):
        operation = deliver(begin(), plan(notebook, step("one"), step("two")))

        assert operation.status == Status.SUCCEEDED
        assert notebook.done == ["one", "two", "succeeded"]

    def test_a_second_delivery_does_nothing(self, begin, notebook):
        how = plan(notebook, step("one"))
        operation = deliver(begin(), how)

        deliver(operation, how)

        assert notebook.done == ["one", "succeeded"]

    def test_it_lets_go_while_proxmox_works_and_goes_on_with_the_next_step(self, begin, notebook):
        how = plan(notebook, step("clone", UPID), step("start"))
        operation = deliver(begin(), how)
        assert (operation.status, operation.upid) == (Status.WAITING, UPID)

        actions.resume(operation, task_result="OK")
        deliver(operation, how)

        assert operation.status == Status.SUCCEEDED
        assert notebook.done == ["clone", "start", "succeeded"]

    def test_a_brief_task_that_does_not_end_at_once_is_waited_for_like_any_other(self, begin, notebook):
        """Nobody answers here; the worker asks, and lets go."""
        how = plan(notebook, step("snapshot", UPID, brief=True), step("start"))
        operation = deliver(begin(), how)
        assert (operation.status, operation.upid) == (Status.WAITING, UPID)

        actions.resume(operation, task_result="OK")
        deliver(operation, how)

        assert notebook.done == ["snapshot", "start", "succeeded"]

    def test_a_step_with_nothing_to_do_is_not_entered(self, begin, notebook):
        how = plan(
            notebook,
            step("one"),
            step("two", needed=lambda context: "one" not in context.done),
            step("three", UPID),
        )

        operation = deliver(begin(), how)

        assert notebook.done == ["one", "three"]
        assert operation.step == "three"

    def test_warnings_of_a_task_are_success_and_are_kept(self, begin, notebook):
        how = plan(notebook, step("clone", UPID))
        operation = deliver(begin(), how)
        actions.resume(operation, task_result="WARNINGS: 1")

        deliver(operation, how)

        assert (operation.status, operation.warnings) == (Status.SUCCEEDED, "WARNINGS: 1\n")

    def test_a_failed_task_fails_the_operation_with_a_sentence(self, begin, notebook):
        how = plan(notebook, step("clone", UPID))
        operation = deliver(begin(), how)
        actions.resume(operation, task_result="storage 'x' does not exist")

        deliver(operation, how)

        assert operation.status == Status.FAILED
        assert operation.error == "Clone: storage 'x' does not exist"
        assert notebook.done == ["clone", "failed: Clone: storage 'x' does not exist"]

    def test_a_step_that_is_not_ready_comes_back_later(self, begin, notebook):
        how = plan(notebook, step("agent", Later(5, 60, "It never came.")))
        operation = deliver(begin(), how)
        assert operation.status == Status.WAITING

        let_time_pass(operation)
        deliver(operation, how)

        assert notebook.done == ["agent", "agent", "succeeded"]

    def test_a_step_that_is_never_ready_gives_up_with_its_reason(self, begin, notebook):
        how = plan(notebook, step("agent", *[Later(0, -1, "It never came.")] * 2))

        operation = deliver(begin(), how)

        assert (operation.status, operation.error) == (Status.FAILED, "Agent: It never came.")

    def test_a_transient_error_is_tried_again(self, begin, notebook):
        how = plan(notebook, step("start", errors.Transient("got timeout")))
        operation = deliver(begin(), how)
        assert (operation.status, operation.error) == (Status.WAITING, "got timeout")

        let_time_pass(operation)
        deliver(operation, how)

        assert operation.status == Status.SUCCEEDED

    def test_an_error_that_stays_is_given_up_after_some_attempts(self, begin, notebook):
        how = plan(notebook, step("start", *[errors.UnknownOutcome("no answer.")] * 20))
        operation = deliver(begin(), how)
        while operation.status == Status.WAITING:
            let_time_pass(operation)
            deliver(operation, how)

        assert operation.status == Status.FAILED
        assert operation.error == "Start: no answer. Tried 8 times."

    def test_a_lock_that_nobody_holds_is_left_to_an_operator(self, begin, notebook):
        operation = deliver(begin(), plan(notebook, step("snap", errors.Stuck("run: qm unlock 1"))))

        assert (operation.status, operation.error) == (Status.NEEDS_OPERATOR, "run: qm unlock 1")
        assert (operation.finished_at, notebook.done) == (None, ["snap"])

    def test_a_tolerated_failure_does_not_stop_the_plan(self, begin, notebook):
        shrug = {"tolerate": lambda context, why: context.done.append(why)}
        how = plan(notebook, step("snap", errors.Refused("no"), **shrug), step("stop"))

        operation = deliver(begin(), how)

        assert operation.status == Status.SUCCEEDED
        assert notebook.done == ["snap", "Snap: no", "stop", "succeeded"]

    def test_where_there_is_another_way_it_goes_on_from_an_earlier_step(self, begin, notebook):
        def instead(context: Notebook, why: str, error: errors.ProxmoxError) -> str:
            context.done.append(f"{type(error).__name__}: {why}")
            return "one"

        how = plan(
            notebook,
            step("one"),
            step("two", errors.Damaged("it has rotted")),
            step("three"),
            instead=instead,
        )
        operation = deliver(begin(), how)
        assert operation.step == "one"
        let_time_pass(operation)

        assert deliver(operation, how).status == Status.SUCCEEDED
        ways = ["one", "two", "Damaged: Two: it has rotted", "one", "two", "three", "succeeded"]
        assert notebook.done == ways

    def test_where_there_is_none_it_fails(self, begin, notebook):
        how = plan(notebook, step("one", errors.Damaged("it has rotted")), instead=lambda *told: "")

        assert deliver(begin(), how).status == Status.FAILED
        assert notebook.done == ["one", "failed: One: it has rotted"]

    def test_our_own_mistake_ends_the_operation_too(self, begin, notebook):
        operation = deliver(begin(), plan(notebook, step("start", ValueError("oops"))))

        assert operation.status == Status.FAILED
        assert operation.error == "autovibe failed at “Start”: oops"


class TestNeedsOperator:
    """Something only a person can mend, such as a lock that a dead task has left."""

    @pytest.fixture
    def stuck(self, begin, notebook) -> Operation:
        return deliver(begin(), plan(notebook, step("snap", errors.Stuck("run: qm unlock 1"))))

    def test_it_goes_on_by_itself_once_that_was_done(self, stuck, notebook):
        let_time_pass(stuck)
        deliver(stuck, plan(notebook, step("snap"), step("stop")))

        assert (stuck.status, stuck.error) == (Status.SUCCEEDED, "")

    def test_the_time_it_waited_for_is_no_time_of_the_step(self, begin, notebook):
        operation = begin()
        deliver(operation, plan(notebook, step("snap", errors.Transient("got timeout"))))
        Operation.objects.update(step_began_at=timezone.now() - timedelta(hours=2))
        let_time_pass(operation)
        stuck = deliver(operation, plan(notebook, step("snap", errors.Stuck("run: qm unlock 1"))))

        let_time_pass(stuck)
        deliver(stuck, plan(notebook, step("snap", errors.Transient("got timeout"))))

        assert (stuck.status, stuck.error) == (Status.WAITING, "got timeout")

    def test_it_is_told_once_however_often_it_is_looked_at(self, stuck, notebook):
        for _ in range(3):
            let_time_pass(stuck)
            deliver(stuck, plan(notebook, step("snap", errors.Stuck("run: qm unlock 1"))))

        assert Event.objects.filter(kind="operation.needs_operator").count() == 1

    def test_it_can_be_given_up(self, stuck, notebook, alice):
        actions.give_up(stuck, by=alice)
        deliver(stuck, plan(notebook, step("snap")))

        assert stuck.status == Status.FAILED
        assert notebook.done[-1] == "failed: Given up by alice. run: qm unlock 1"

    def test_it_can_be_given_up_just_while_it_looks_again(self, stuck, notebook, alice):
        let_time_pass(stuck)
        stuck.refresh_from_db()
        assert stuck.status == Status.QUEUED

        actions.give_up(stuck, by=alice)
        deliver(stuck, plan(notebook, step("snap")))

        assert stuck.status == Status.FAILED

    def test_only_what_waits_for_an_operator_can_be_given_up(self, begin, alice):
        with pytest.raises(Conflict):
            actions.give_up(begin(), by=alice)

    def test_a_lock_that_stays_is_looked_into_after_a_minute(self, begin, notebook):
        busy = [errors.Busy("VM is locked (rollback)")] * 2
        how = plan(notebook, step("snap", *busy), blocked=lambda context: "run: qm unlock 1")
        operation = deliver(begin(), how)
        assert operation.status == Status.WAITING

        Operation.objects.update(step_began_at=timezone.now() - timedelta(minutes=2))
        let_time_pass(operation)
        deliver(operation, how)

        assert (operation.status, operation.error) == (Status.NEEDS_OPERATOR, "run: qm unlock 1")

    def test_a_lock_that_a_task_holds_is_waited_for(self, begin, notebook):
        operation = begin()
        how = plan(notebook, step("snap", *[errors.Busy("VM is locked (backup)")] * 2))
        deliver(operation, how)
        Operation.objects.update(step_began_at=timezone.now() - timedelta(minutes=2))
        let_time_pass(operation)
        deliver(operation, how)

        assert operation.status == Status.WAITING


class TestSlots:
    """A storage bears two clones at once."""

    @staticmethod
    def cloning(notebook: Notebook) -> Plan[Notebook]:
        return plan(notebook, step("clone", UPID, slots=lambda context: {"storage:fast": 2}))

    def test_more_than_it_bears_wait_for_their_turn(self, begin, notebook):
        operations = [begin(f"guest:{number}") for number in range(3)]
        for operation in operations:
            deliver(operation, self.cloning(notebook))

        assert [operation.upid for operation in operations] == [UPID, UPID, ""]
        assert operations[2].error == (
            "Waiting for its turn: as many operations use storage fast as it bears."
        )

    def test_whoever_is_done_wakes_the_one_that_waited_longest(self, begin, notebook):
        first, second, third, fourth = (begin(f"guest:{number}") for number in range(4))
        for operation in (first, second, third, fourth):
            deliver(operation, self.cloning(notebook))

        actions.resume(first, task_result="OK")
        deliver(first, self.cloning(notebook))

        due = list(Operation.objects.due())
        assert (first.status, due) == (Status.SUCCEEDED, [third])
        actions.resume(third)
        deliver(third, self.cloning(notebook))
        assert third.upid == UPID

    def test_a_step_that_is_tried_again_later_holds_nothing_meanwhile(self, begin, notebook):
        one = {"slots": lambda context: {"storage:fast": 1}}
        first, second = begin("guest:1"), begin("guest:2")
        deliver(first, plan(notebook, step("clone", errors.Transient("got timeout"), **one)))
        deliver(second, plan(notebook, step("clone", UPID, **one)))

        assert second.upid == UPID

    def test_a_slot_that_the_next_step_needs_too_is_kept_in_between(self, begin, notebook):
        one = {"slots": lambda context: {"backup:pve1": 1}}
        first, second = begin("guest:1"), begin("guest:2")
        how = plan(notebook, step("capture", UPID, **one), step("backup", UPID, **one))
        deliver(first, how)
        deliver(second, plan(notebook, step("capture", UPID, **one)))
        actions.resume(first, task_result="OK")
        deliver(first, how)

        assert (first.step, first.upid) == ("backup", UPID)
        assert not Operation.objects.filter(pk=second.pk).due()

    def test_time_in_the_queue_is_no_time_of_the_step(self, begin, notebook):
        one = {"slots": lambda context: {"storage:fast": 1}}
        first, second = begin("guest:1"), begin("guest:2")
        for operation in (first, second):
            deliver(operation, plan(notebook, step("clone", UPID, **one)))
        long_ago = timezone.now() - timedelta(hours=1)
        Operation.objects.filter(pk=second.pk).update(step_began_at=long_ago)
        actions.resume(first, task_result="OK")
        deliver(first, plan(notebook, step("clone", **one)))

        let_time_pass(second)
        deliver(second, plan(notebook, step("clone", errors.Transient("got timeout"), **one)))

        assert second.status == Status.WAITING


class TestKilledWorker:
    """The worker dies after it asked Proxmox and before it stored the answer."""

    @pytest.fixture
    def killed(self, begin) -> Operation:
        operation = begin()
        claimed = actions.claim(str(operation.id))
        assert claimed
        actions.entering(claimed, "clone")
        actions.asking(claimed)
        Operation.objects.filter(pk=operation.pk).update(claimed_at=timezone.now() - timedelta(minutes=1))
        operation.refresh_from_db()
        return operation

    def test_another_worker_takes_over(self, killed):
        OrmQ.objects.all().delete()

        assert watcher.reap() == 1

        killed.refresh_from_db()
        assert (killed.status, OrmQ.objects.count()) == (Status.QUEUED, 1)

    def test_it_does_not_ask_again_for_what_is_there(self, killed, notebook):
        watcher.reap()

        deliver(killed, plan(notebook, step("clone", look=lambda context: True)))

        assert notebook.done == ["succeeded"]

    def test_it_waits_for_what_is_under_way(self, killed, notebook):
        watcher.reap()

        deliver(killed, plan(notebook, step("clone", look=lambda context: UPID)))

        assert (killed.status, killed.upid, notebook.done) == (Status.WAITING, UPID, [])

    def test_it_asks_again_for_what_never_happened(self, killed, notebook):
        watcher.reap()

        deliver(killed, plan(notebook, step("clone", look=lambda context: False)))

        assert notebook.done == ["clone", "succeeded"]

    def test_a_step_that_kills_its_workers_is_given_up(self, killed, notebook):
        Operation.objects.filter(pk=killed.pk).update(attempts=engine.ATTEMPTS + 1, status=Status.QUEUED)

        deliver(killed, plan(notebook, step("clone")))

        assert (killed.status, notebook.done[0]) == (
            Status.FAILED,
            "failed: Clone: workers died at it again and again.",
        )


class TestLostClaim:
    """A worker that was thought dead wakes up while another one has taken over."""

    def test_it_writes_nothing_any_more(self, begin, notebook):
        operation = begin()

        def slow(context: Notebook) -> Outcome:
            Operation.objects.filter(pk=operation.pk).update(claimed_at=timezone.now() - timedelta(minutes=1))
            taken = Operation.objects.get(pk=operation.pk)
            actions.resume(taken, expect=Status.RUNNING)
            actions.claim(str(operation.id))
            Operation.objects.get(pk=operation.pk).note(upid="theirs", step="clone")
            return UPID

        deliver(operation, plan(notebook, Step("clone", "Clone", slow)))

        assert (operation.status, operation.upid, notebook.done) == (Status.RUNNING, "theirs", [])

    def test_a_living_worker_is_not_thought_dead(self, begin, notebook):
        operation = begin()

        def slow(context: Notebook) -> Outcome:
            Operation.objects.filter(pk=operation.pk).update(claimed_at=timezone.now() - timedelta(minutes=1))
            context.done.append(f"reaped {watcher.reap()}")
            return None

        deliver(operation, plan(notebook, Step("clone", "Clone", slow)))

        assert notebook.done == ["reaped 0", "succeeded"]


class TestLock:
    def test_operations_with_one_lock_run_one_after_the_other_in_their_order(self, begin, notebook):
        how = plan(notebook, step("work", UPID))
        first, second = begin(), begin()

        deliver(second, how)
        assert second.status == Status.QUEUED

        deliver(first, how)
        deliver(second, how)
        assert (first.status, second.status) == (Status.WAITING, Status.QUEUED)

    def test_the_end_of_one_queues_the_next(self, begin, notebook):
        first, second = begin(), begin()
        OrmQ.objects.all().delete()

        deliver(first, plan(notebook, step("work")))

        assert [queued.task["args"] for queued in OrmQ.objects.all()] == [(str(second.id),)]

    def test_operations_with_other_locks_are_not_held_up(self, begin, notebook):
        first, other = begin(), begin("guest:2")

        deliver(other, plan(notebook, step("work")))

        assert (first.status, other.status) == (Status.QUEUED, Status.SUCCEEDED)

    def test_nothing_is_left_when_the_transaction_rolls_back(self, begin):
        with transaction.atomic():
            begin()
            transaction.set_rollback(True)

        assert not Operation.objects.exists()
        assert not OrmQ.objects.exists()
