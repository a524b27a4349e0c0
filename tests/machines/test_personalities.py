"""One life of checkpoints on each kind of storage: taken, branched, gone back to, proven and pruned, in its own way."""

import pytest
from django.utils import timezone

from checkpoints.models import Checkpoint, Rules
from checkpoints.states import Depth, Verdict
from guests import reconcile
from machines import actions
from machines.keeping import pruning
from machines.models import Machine
from machines.work import bundle
from operations.models import ACTIVE, Operation
from projects.errors import Conflict
from proxmox.connect import driver
from proxmox.storage_kinds import Branch
from tests.guests.conftest import *  # noqa: F403 (a node, and operations carried by hand)

STRATEGIES = {"lvmthin": Branch.LINKED, "qcow2": Branch.COPY, "zfs": Branch.FREEZE}


@pytest.fixture(
    params=[
        "lvmthin",
        pytest.param("qcow2", marks=pytest.mark.whole),
        pytest.param("zfs", marks=pytest.mark.whole),
    ],
    scope="class",
)
def personality(request) -> str:
    return str(request.param)


@pytest.fixture
def machine(connected, genesis, spawned) -> Machine:
    reconcile.reconcile()  # the hub has looked at the cluster
    return spawned()


@pytest.fixture
def taken(machine, carry, alice):
    def taken(note: str) -> Checkpoint:
        bundle._run(machine, f'echo {note} > "${{GUEST_ROOT:-}}/workspace/note"')
        checkpoint = actions.checkpoint(machine, by=alice)
        carry(Operation.objects.get(verb="checkpoint", arguments__checkpoint=str(checkpoint.id)))
        machine.refresh_from_db()
        return fresh(checkpoint)

    return taken


def fresh(checkpoint: Checkpoint) -> Checkpoint:
    return Checkpoint.objects.select_related("guest").get(pk=checkpoint.pk)


def note_of(machine: Machine) -> str:
    return driver().run(machine.guest.vm, 'cat "${GUEST_ROOT:-}/workspace/note"').out.decode().strip()


def last_of(machine: Machine) -> Checkpoint:
    assert machine.present_id
    return Checkpoint.objects.select_related("guest").get(pk=machine.present_id)


class TestEveryStorage:
    def test_an_ended_machine_is_branched_from_in_the_way_of_its_storage(
        self, personality, machine, taken, ended, spawned
    ):
        taken("first")
        taken("second")
        final = last_of(ended(machine))

        assert final.branching.strategy == STRATEGIES[personality]
        assert note_of(spawned(source=final)) == "second"

    def test_it_goes_back_to_the_newest_and_where_the_storage_can_to_any(
        self, personality, machine, taken, ended, carry, alice
    ):
        older = taken("first")
        taken("second")
        final = last_of(ended(machine))

        if personality == "zfs":
            with pytest.raises(Conflict, match="newest"):
                actions.rollback(machine, older, by=alice)
        target, note = (final, "second") if personality == "zfs" else (older, "first")
        operation = carry(actions.rollback(machine, target, by=alice))

        assert operation.status == "succeeded", operation.error
        assert note_of(machine) == note

    def test_its_end_is_proven_in_a_guest_of_its_own(self, machine, taken, ended, carry, alice):
        taken("kept")
        final = last_of(ended(machine))

        verification = actions.verify(final, Depth.CONTENT, by=alice)
        carry(Operation.objects.get(verb="verify"))

        verification.refresh_from_db()
        assert verification.verdict == Verdict.PASSED, verification.sentence
        assert fresh(final).standing == "verified"
        carry(Operation.objects.get(verb="destroy"))
        assert verification.scratch is not None
        verification.scratch.refresh_from_db()
        assert verification.scratch.state == "gone"

    def test_what_no_rule_keeps_goes_and_the_rest_can_still_be_branched_from(
        self, machine, taken, ended, carry, spawned, project, alice
    ):
        older = taken("first")
        final = last_of(ended(machine))
        nothing = {"keep_last": 1, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "milestones": 0}
        Rules.objects.create(project=project, retention=nothing, changed_at=timezone.now())

        pruning.prune(project, by=alice)
        for operation in Operation.objects.filter(status__in=ACTIVE):
            carry(operation)

        assert (fresh(older).state, fresh(final).state) == ("pruned", "captured")
        assert older.snapshot not in {one.name for one in driver().snapshots(older.guest.vm)}
        assert note_of(spawned(source=final)) == "first"
