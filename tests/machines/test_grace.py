"""Terminating with grace: nothing happens to the machine before its time, and until then it can be undone."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from checkpoints.states import State as CheckpointState
from events.models import Event
from guests import actions as guests
from machines import actions, tasks
from machines.models import Machine
from machines.states import State
from operations import actions as operations
from operations import watcher
from operations.models import Operation, Status
from projects import actions as projects
from projects import members
from projects.errors import Conflict
from projects.models import User
from projects.roles import Role
from tests.dashboard.conftest import Browser, browser  # noqa: F401


@pytest.fixture
def asked(machine: Machine, alice: User) -> Operation:
    return actions.terminate_soon(machine, by=alice, grace_seconds=10)


def pass_by(operation: Operation) -> None:
    """The grace is over: the watcher hands the operation to a worker, who carries it out."""
    Operation.objects.filter(pk=operation.pk, status=Status.WAITING).update(resume_at=timezone.now())
    watcher.tick()
    tasks.terminate_soon(str(operation.pk))
    operation.refresh_from_db()


def state(machine: Machine) -> str:
    machine.refresh_from_db()
    return machine.state


def test_before_its_time_nothing_happens(machine: Machine, asked: Operation) -> None:
    tasks.terminate_soon(str(asked.pk))
    watcher.tick()

    asked.refresh_from_db()
    assert state(machine) == State.RUNNING
    assert asked.status == Status.WAITING
    assert asked.resume_at is not None
    assert timedelta(seconds=5) < asked.resume_at - timezone.now() <= timedelta(seconds=10)
    assert Event.objects.get(kind="machine.ending_soon").actor == "alice"


def test_then_the_end_begins_by_whoever_asked_for_it(machine: Machine, asked: Operation) -> None:
    pass_by(asked)

    assert state(machine) == State.STOPPING
    assert asked.status == Status.SUCCEEDED
    assert machine.sentence == "Terminated by alice."
    assert Operation.objects.filter(verb="terminate", subject=machine.subject).count() == 1


def test_undone_it_goes_on_even_if_the_watcher_comes_at_the_same_moment(
    machine: Machine, asked: Operation, alice: User
) -> None:
    late = Operation.objects.get(pk=asked.pk)  # as the watcher has read it
    operations.cancel(asked, by=alice)

    assert not operations.resume(late)
    pass_by(asked)

    assert state(machine) == State.RUNNING
    assert asked.status == Status.FAILED
    assert Event.objects.filter(kind="operation.cancelled").count() == 1
    assert not Operation.objects.filter(verb="terminate").exists()


def test_once_it_has_begun_it_is_too_late(machine: Machine, asked: Operation, alice: User) -> None:
    pass_by(asked)

    with pytest.raises(Conflict):
        operations.cancel(asked, by=alice)


def test_asked_twice_it_is_one(machine: Machine, asked: Operation, alice: User) -> None:
    assert actions.terminate_soon(machine, by=alice, grace_seconds=10).pk == asked.pk


def left(operation: Operation) -> timedelta:
    operation.refresh_from_db()
    assert operation.resume_at is not None
    return operation.resume_at - timezone.now()


def test_asked_again_with_less_grace_it_ends_sooner_and_by_whoever_asked_last(
    machine: Machine, alice: User, people: dict[str, User]
) -> None:
    projects.admit(machine.project, people["bob"], Role.OPERATOR, by=alice)
    first = actions.terminate_soon(machine, by=alice, grace_seconds=600)

    again = actions.terminate_soon(machine, by=people["bob"], grace_seconds=10)

    assert again.pk == first.pk
    assert left(first) <= timedelta(seconds=10)
    said = Event.objects.filter(kind="machine.ending_soon").order_by("pk")
    assert [(one.actor, one.data["seconds"]) for one in said] == [("alice", 600), ("bob", 10)]
    pass_by(first)
    machine.refresh_from_db()
    assert machine.sentence == "Terminated by bob."


def test_asked_again_with_more_grace_nothing_changes(machine: Machine, asked: Operation, alice: User) -> None:
    actions.terminate_soon(machine, by=alice, grace_seconds=600)

    assert left(asked) <= timedelta(seconds=10)
    assert Event.objects.filter(kind="machine.ending_soon").count() == 1


def brought_back(machine: Machine, alice: User) -> None:
    """It ended by itself, and was rolled back since; nothing of its guest is at work any more."""
    machine.refresh_from_db()
    target = actions.checkpoint(machine, by=alice)
    target.move(CheckpointState.CAPTURED)
    Machine.objects.filter(pk=machine.pk).update(state=State.TERMINATED, ended_at=timezone.now())
    guests.set_at_rest(machine.guest, True)
    machine.refresh_from_db()
    actions.rollback(machine, target, by=alice)
    Machine.objects.filter(pk=machine.pk).update(state=State.RUNNING)
    of_its_guest = Operation.objects.filter(lock=machine.guest.subject)
    of_its_guest.update(status=Status.SUCCEEDED, finished_at=timezone.now())


def test_one_that_was_brought_back_meanwhile_goes_on(machine: Machine, asked: Operation, alice: User) -> None:
    brought_back(machine, alice)

    pass_by(asked)

    assert state(machine) == State.RUNNING
    assert asked.given_up_by == "alice"


def test_one_that_was_brought_back_goes_on_even_if_its_end_had_begun_to_wait(
    machine: Machine, asked: Operation, alice: User
) -> None:
    Machine.objects.filter(pk=machine.pk).update(state=State.PAUSING)
    pass_by(asked)
    Machine.objects.filter(pk=machine.pk).update(state=State.PAUSED)
    brought_back(machine, alice)

    pass_by(asked)

    assert state(machine) == State.RUNNING
    assert asked.status == Status.SUCCEEDED


@pytest.mark.parametrize("lost", ["the right", "the account"])
def test_whoever_has_lost_the_right_by_then_ends_nothing(
    machine: Machine, alice: User, people: dict[str, User], lost: str
) -> None:
    bob = people["bob"]
    projects.admit(machine.project, bob, Role.OPERATOR, by=alice)
    asked = actions.terminate_soon(machine, by=bob, grace_seconds=10)
    if lost == "the right":
        members.remove(machine.project, "bob", by=alice)
    else:
        User.objects.filter(pk=bob.pk).update(is_active=False)

    pass_by(asked)

    assert state(machine) == State.RUNNING
    assert asked.status == Status.FAILED
    assert (
        asked.error
        == f"Beginning the end: bob asked for it, and may not terminate {machine.handle} any more."
    )


def test_after_an_undo_it_can_be_asked_again(machine: Machine, asked: Operation, alice: User) -> None:
    operations.cancel(asked, by=alice)

    assert actions.terminate_soon(machine, by=alice, grace_seconds=10).pk != asked.pk


def test_one_that_ended_meanwhile_is_left_alone(machine: Machine, asked: Operation) -> None:
    Machine.objects.filter(pk=machine.pk).update(state=State.TERMINATED, ended_at=timezone.now())

    pass_by(asked)

    assert state(machine) == State.TERMINATED
    assert asked.status == Status.SUCCEEDED


def test_one_that_is_just_being_paused_is_waited_for(machine: Machine, asked: Operation) -> None:
    Machine.objects.filter(pk=machine.pk).update(state=State.PAUSING)
    pass_by(asked)
    assert asked.status == Status.WAITING

    Machine.objects.filter(pk=machine.pk).update(state=State.PAUSED)
    pass_by(asked)

    assert state(machine) == State.STOPPING


def test_the_api_ends_at_once_unless_grace_is_asked_for(
    machine: Machine, api: Callable[[str], APIClient]
) -> None:
    alice, where = api("alice"), f"/api/v1/machines/{machine.handle}/terminate/"

    assert alice.post(where, {"grace_seconds": 601}).status_code == 400
    soon = alice.post(where, {"grace_seconds": 30}).json()
    assert (soon["verb"], state(machine)) == ("terminate_soon", State.RUNNING)

    assert alice.post(where).json()["verb"] == "terminate"
    assert state(machine) == State.STOPPING


def test_the_page_says_when_and_offers_to_undo_it(machine: Machine, browser: Browser) -> None:  # noqa: F811
    alice, where = browser("alice"), f"/machines/{machine.handle}/"

    page = alice.post(f"{where}terminate/", follow=True).content.decode()

    soon = Operation.objects.get(verb="terminate_soon")
    undo = f"/operations/{soon.pk}/cancel/"
    assert f"{machine.handle} ends in 10 s. Until then that can be undone." in page
    assert f'action="{undo}"' in page
    assert undo not in browser("bob").get(where).content.decode()

    said = alice.post(undo, follow=True).content.decode()

    assert f"{machine.handle} is not terminated: it goes on." in said
    assert 'id="ending-soon"' not in said
    assert state(machine) == State.RUNNING
