"""Exports: what is durable, how it comes to be, and whether a backup holds what it is said to hold."""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from checkpoints.models import Checkpoint, Verification
from checkpoints.states import Depth, State, Verdict
from checkpoints.taking import backups
from events.models import Event
from machines import actions
from machines.work import verify
from machines.work.proof import load
from operations.models import Operation, Status
from projects.errors import Conflict
from proxmox.connect import driver
from proxmox.storage_kinds import Branch
from tests.node_process import NodeProcess
from tests.proofs.conftest import cleared, fresh, operation_of
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
def volumes(node) -> Callable[[Checkpoint], list[str]]:
    """Volumes that hold the checkpoint."""
    return lambda checkpoint: [
        one.volume for one in driver().backups(node.name, "local") if str(checkpoint.id) in one.notes
    ]


class TestOnLvmThin:
    def test_a_checkpoint_of_a_running_machine_is_exported_and_what_was_exported_can_be_proven(
        self, spawned, taken, exported, verified, volumes
    ):
        checkpoint = exported(taken(spawned()))

        assert volumes(checkpoint) == [checkpoint.backup]
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
        self, spawned, taken, exported, verified, node
    ):
        checkpoint = exported(taken(spawned()))
        flip(archive(node, checkpoint))

        verification = verified(checkpoint, "content", of_backup=True)

        assert verification.verdict == Verdict.FAILED, verification.sentence
        assert (fresh(checkpoint).backup, fresh(checkpoint).durable_at) == ("", None)
        assert fresh(checkpoint).state == State.CAPTURED
        assert verified(checkpoint, "content").verdict == Verdict.PASSED

    def test_a_fault_that_was_found_stands_though_the_bad_backup_cannot_be_deleted(
        self, spawned, taken, exported, fault, carry, alice
    ):
        checkpoint = exported(taken(spawned()))
        verification = actions.verify(checkpoint, Depth.BOOT, by=alice, of_backup=True)
        Verification.objects.filter(pk=verification.pk).update(
            evidence={"of": "backup", "fault": "src/main.py has another sha256.", "shared": True}
        )
        fault(match="DELETE */content/*", action="fail", status=500, reason="it is protected", times=0)

        carry(operation_of(verification))

        verification.refresh_from_db()
        assert verification.verdict == Verdict.FAILED
        assert "another sha256" in verification.sentence
        assert checkpoint.backup in verification.sentence  # whoever reads it can delete it
        assert fresh(checkpoint).backup == ""

    def test_a_fault_that_was_found_stands_though_the_proof_could_not_go_on(self, spawned, taken, alice):
        checkpoint = taken(spawned())
        verification = actions.verify(checkpoint, Depth.BOOT, by=alice)
        Verification.objects.filter(pk=verification.pk).update(
            evidence={"of": "snapshot", "fault": "src/main.py has another sha256.", "shared": True}
        )

        verify._failed(load(operation_of(verification)), "Given up by alice.")

        assert fresh(checkpoint).state == State.BROKEN
        assert "another sha256" in fresh(checkpoint).error

    def test_a_backup_that_is_not_listed_is_kept_for_a_day_and_then_not_claimed_any_more(
        self, spawned, taken, exported, verified, node
    ):
        checkpoint = exported(taken(spawned()))
        driver().delete_volume(node.name, checkpoint.backup)

        for _ in range(2):
            assert verified(checkpoint, "metadata").verdict == Verdict.PASSED
            assert fresh(checkpoint).backup == checkpoint.backup
            assert f"Its backup {checkpoint.backup} was not found" in fresh(checkpoint).error
        assert verified(checkpoint, "boot", of_backup=True).verdict == Verdict.ABANDONED

        later = timezone.now() + timedelta(days=1, minutes=1)
        backups.missed(fresh(checkpoint), later)

        assert (fresh(checkpoint).backup, fresh(checkpoint).error) == ("", "")
        assert Event.objects.filter(kind="checkpoint.backup_lost").exists()

    def test_one_that_is_found_again_counts_from_the_beginning(
        self, spawned, taken, exported, verified, node
    ):
        checkpoint = exported(taken(spawned()))
        path = archive(node, checkpoint)
        hidden = path.rename(path.with_name("hidden"))
        verified(checkpoint, "metadata")
        assert fresh(checkpoint).error
        hidden.rename(path)

        verified(checkpoint, "metadata")

        assert (fresh(checkpoint).backup, fresh(checkpoint).error) == (checkpoint.backup, "")

    def test_one_on_a_storage_that_is_away_is_not_even_missed(
        self, spawned, taken, exported, verified, fault, node, monkeypatch
    ):
        checkpoint = exported(taken(spawned()))
        path = archive(node, checkpoint)
        path.rename(path.with_name("hidden"))
        away = [replace(one, active=False) for one in driver().storages()]
        monkeypatch.setattr(type(driver()), "storages", lambda self: away)

        assert verified(checkpoint, "metadata").verdict == Verdict.PASSED

        assert fresh(checkpoint).backup == checkpoint.backup
        assert "cannot be looked for" in fresh(checkpoint).error
        assert not Event.objects.filter(kind="checkpoint.backup_missed").exists()

    def test_only_what_this_export_has_written_is_taken_for_its_backup(self, spawned, taken, exported, node):
        machine = spawned()
        checkpoint = taken(machine)
        # One that was begun with the checkpoint and holds a later state; nobody could delete it.
        upid = driver().back_up(machine.guest.vm, "local", f"{checkpoint.handle} {checkpoint.id}")
        while upid and not driver().tasks([upid])[0].result:
            time.sleep(0.01)
        (later,) = [
            one.volume for one in driver().backups(node.name, "local") if str(checkpoint.id) in one.notes
        ]

        assert exported(checkpoint).backup not in ("", later)

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


def archive(node: NodeProcess, checkpoint: Checkpoint) -> Path:
    """The file that holds its backup."""
    name = checkpoint.backup.rpartition("/")[2]
    (found,) = [path for path in node.state.glob(f"dump/**/{name}*") if re.search(r"vma\.\w+$", path.name)]
    return found


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
