"""Exports: what is durable, how it comes to be, and whether a backup holds what it is said to hold."""

import re
from collections.abc import Callable

import pytest

from checkpoints.models import Checkpoint
from checkpoints.states import State, Verdict
from events.models import Event
from machines import actions
from operations.models import Operation, Status
from projects.errors import Conflict
from proxmox.connect import driver
from proxmox.storage_kinds import Branch
from tests.proofs.conftest import cleared, fresh
from tests.proofs.test_bit_rot import flip


@pytest.fixture
def exported(carry, alice, settings) -> Callable[[Checkpoint], Checkpoint]:
    def exported(checkpoint: Checkpoint) -> Checkpoint:
        settings.PROXMOX_BACKUP_STORAGE = "local"
        operation = carry(actions.export(fresh(checkpoint), by=alice))
        assert operation.status == Status.SUCCEEDED, operation.error
        cleared(carry)
        return fresh(checkpoint)

    return exported


@pytest.fixture
def backups(node) -> Callable[[Checkpoint], list[str]]:
    """Volumes that hold the checkpoint."""
    return lambda checkpoint: [
        one.volume for one in driver().backups(node.name, "local") if str(checkpoint.id) in one.notes
    ]


class TestOnLvmThin:
    def test_a_checkpoint_of_a_running_machine_is_exported_and_what_was_exported_can_be_proven(
        self, spawned, taken, exported, verified, backups
    ):
        checkpoint = exported(taken(spawned()))

        assert backups(checkpoint) == [checkpoint.backup]
        assert checkpoint.backup_bytes > 300_000
        assert (checkpoint.standing, bool(checkpoint.durable_at)) == ("durable", True)
        assert Event.objects.filter(kind="checkpoint.durable", subject=checkpoint.subject).exists()

        verification = verified(checkpoint, "boot", of_backup=True)

        assert (verification.verdict, verification.evidence["of"]) == (Verdict.PASSED, "backup")

    def test_a_guest_that_is_at_rest_is_backed_up_itself(self, spawned, ended, exported):
        machine = ended(spawned())

        checkpoint = exported(machine.present)

        assert f"-{machine.guest.vmid}-" in checkpoint.backup

    def test_a_bad_backup_is_not_claimed_any_more_and_the_snapshot_is_as_good_as_before(
        self, spawned, taken, exported, verified, backups, node
    ):
        checkpoint = exported(taken(spawned()))
        name = checkpoint.backup.rpartition("/")[2]
        (archive,) = [
            path for path in node.state.glob(f"dump/**/{name}*") if re.search(r"vma\.\w+$", path.name)
        ]
        flip(archive)

        verification = verified(checkpoint, "content", of_backup=True)

        assert verification.verdict == Verdict.FAILED, verification.sentence
        assert (fresh(checkpoint).backup, fresh(checkpoint).durable_at) == ("", None)
        assert fresh(checkpoint).state == State.CAPTURED
        assert verified(checkpoint, "content").verdict == Verdict.PASSED

    def test_a_backup_that_is_gone_is_not_claimed_any_more(self, spawned, taken, exported, verified, node):
        checkpoint = exported(taken(spawned()))
        driver().delete_volume(node.name, checkpoint.backup)

        assert verified(checkpoint, "metadata").verdict == Verdict.PASSED

        assert fresh(checkpoint).backup == ""
        assert Event.objects.filter(kind="checkpoint.backup_lost").exists()

    def test_it_is_done_once(self, spawned, taken, exported, alice):
        checkpoint = exported(taken(spawned()))

        with pytest.raises(Conflict, match="durable already"):
            actions.export(checkpoint, by=alice)

    def test_without_a_storage_for_backups_it_is_refused(self, spawned, taken, alice):
        with pytest.raises(Conflict, match="PROXMOX_BACKUP_STORAGE"):
            actions.export(taken(spawned()), by=alice)

    def test_who_may_over_rest(self, api, spawned, taken, settings):
        checkpoint = taken(spawned())
        settings.PROXMOX_BACKUP_STORAGE = "local"

        for who, status in (("charlie", 404), ("bob", 403), ("alice", 202)):
            assert api(who).post(f"/api/v1/checkpoints/{checkpoint.handle}/export/").status_code == status


class TestOnZfs:
    @pytest.fixture(scope="class")
    def personality(self) -> str:
        return "zfs"

    def test_the_end_of_a_machine_is_exported_from_its_own_guest(self, spawned, ended, exported, verified):
        machine = ended(spawned())

        checkpoint = exported(machine.present)

        assert f"-{machine.guest.vmid}-" in checkpoint.backup
        assert verified(checkpoint, "boot", of_backup=True).verdict == Verdict.PASSED

    def test_one_of_a_running_machine_is_refused_with_the_reason(self, spawned, taken, alice, settings):
        checkpoint = taken(spawned())
        settings.PROXMOX_BACKUP_STORAGE = "local"

        with pytest.raises(Conflict, match="cannot clone from a snapshot"):
            actions.export(checkpoint, by=alice)
        assert checkpoint.branching.strategy not in {Branch.LINKED, Branch.COPY}
        assert not Operation.objects.filter(verb="export").exists()
