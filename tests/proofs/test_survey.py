"""The metadata of all checkpoints of a guest at once, as the schedule has them read."""

import time

import pytest

from checkpoints.models import Checkpoint, Verification
from checkpoints.states import State, Verdict
from machines.keeping import proofs
from operations.models import Operation
from proxmox.connect import driver
from tests.proofs.conftest import fresh


@pytest.fixture
def surveyed(carry):
    """The operation that reads these, carried to its end."""

    def surveyed(*checkpoints: Checkpoint) -> Operation:
        proofs._begin_survey(checkpoints[0], [str(one.pk) for one in checkpoints])
        return carry(Operation.objects.get(verb="survey"))

    return surveyed


class TestSurvey:
    def test_sound_ones_are_verified_and_one_without_its_snapshot_is_broken(self, spawned, taken, surveyed):
        machine = spawned()
        sound, gone = taken(machine), taken(machine)
        upid = driver().delete_snapshot(machine.guest.vm, gone.snapshot)
        while upid and not driver().tasks([upid])[0].result:
            time.sleep(0.01)

        surveyed(sound, gone)

        assert (fresh(sound).proven_depth, fresh(gone).state) == ("metadata", State.BROKEN)

    def test_nothing_is_claimed_when_nothing_can_be_seen(self, spawned, taken, surveyed, fault):
        checkpoint = taken(spawned())
        fault(match="GET */snapshot", action="fail", status=403, reason="Permission check failed", times=0)

        operation = surveyed(checkpoint)

        assert operation.status == "succeeded"
        assert Verification.objects.get(checkpoint=checkpoint).verdict == Verdict.ABANDONED
        assert (fresh(checkpoint).state, fresh(checkpoint).proven_at) == (State.CAPTURED, None)
