"""Branching from a checkpoint, by what the storage can do."""

import pytest

from checkpoints.models import Checkpoint
from guests import reconcile
from guests.branching import Branch
from guests.models import Guest
from machines import actions
from machines.work import bundle
from operations.models import Operation, Status
from projects.errors import Conflict
from proxmox.connect import driver


@pytest.fixture(autouse=True)
def _known(connected, genesis):
    """The hub has looked at the cluster."""
    reconcile.reconcile()


@pytest.fixture
def newest():
    """A machine's last checkpoint, as the database has it now."""
    return lambda machine: Checkpoint.objects.select_related("guest").get(pk=machine.present_id)


def write(machine, text):
    bundle._run(machine, f'echo {text} > "${{GUEST_ROOT:-}}/workspace/note"')


def note_of(machine) -> bytes:
    return driver().run(machine.guest.vm, 'cat "${GUEST_ROOT:-}/workspace/note"').out


class TestOnLvmThin:
    def test_a_checkpoint_of_a_running_machine_is_linked(self, spawned, carry, alice, newest):
        machine = spawned()
        write(machine, "then")
        checkpoint = _checkpoint(machine, carry, alice)
        write(machine, "now")

        branch = spawned(source=checkpoint)

        assert checkpoint.branching.strategy == Branch.LINKED
        assert note_of(branch) == b"then\n"

    def test_the_new_guest_is_known_to_be_where_its_source_is(self, spawned):
        guest = spawned().guest

        assert (guest.storage, guest.image_format, guest.disk_bytes) == ("local-lvm", "raw", 4 * 1024**3)


class TestOnQcow2:
    @pytest.fixture(scope="class")
    def personality(self):
        return "qcow2"

    def test_a_checkpoint_is_copied_whole(self, spawned, carry, alice, newest):
        machine = spawned()
        write(machine, "then")
        checkpoint = _checkpoint(machine, carry, alice)
        write(machine, "now")

        branch = spawned(source=checkpoint)

        assert checkpoint.branching.strategy == Branch.COPY
        assert checkpoint.branching.copies_bytes == 4 * 1024**3
        assert note_of(branch) == b"then\n"


class TestOnZfs:
    @pytest.fixture(scope="class")
    def personality(self):
        return "zfs"

    def test_the_end_of_a_machine_is_frozen_and_copied(self, spawned, ended, newest):
        machine = spawned()
        write(machine, "the end")
        final = newest(ended(machine))

        branch = spawned(source=final)

        assert final.branching.strategy == Branch.FREEZE
        assert note_of(branch) == b"the end\n"

    def test_where_nothing_works_it_is_refused_at_once_with_the_reason(self, spawned, carry, alice, project):
        machine = spawned()
        checkpoint = _checkpoint(machine, carry, alice)

        with pytest.raises(Conflict, match="local-zfs cannot clone from a snapshot"):
            actions.spawn(project=project, source=checkpoint, type_name="shell", prompt="true", by=alice)

    def test_a_checkpoint_on_request_is_restored_from_its_backup(self, spawned, carry, alice, settings, node):
        settings.PROXMOX_BACKUP_STORAGE = "local"
        machine = spawned()
        write(machine, "then")
        checkpoint = _checkpoint(machine, carry, alice)
        write(machine, "now")

        branch = spawned(source=checkpoint)

        assert checkpoint.branching.strategy == Branch.BACKUP
        assert note_of(branch) == b"then\n"
        assert driver().config(branch.guest.vm)["description"].endswith(str(branch.guest.id))

    def test_a_backup_that_was_written_after_the_agent_had_gone_on_is_not_kept(
        self, spawned, carry, alice, settings, fault
    ):
        settings.PROXMOX_BACKUP_STORAGE = "local"
        machine = spawned(prompt="n=0; while sleep 0.02; do n=$((n+1)); echo $n > count; done")
        fault(match="POST */vzdump", action="slow-task", seconds=1)
        checkpoint = actions.checkpoint(machine, by=alice)
        operation = Operation.objects.get(arguments__checkpoint=str(checkpoint.id))
        while operation.step != "backup" or not operation.upid:
            assert not operation.ended, operation.error
            carry(operation, until=(Status.WAITING,))
        # What the runner does by itself when it has held the agent still for too long.
        driver().run(machine.guest.vm, 'exec python3 "${GUEST_ROOT:-}/opt/autovibe/runner.py" thaw')

        carry(operation)

        checkpoint = Checkpoint.objects.get(pk=checkpoint.pk)
        assert (checkpoint.state, checkpoint.backup) == ("captured", "")
        assert "the agent had gone on before it was written" in checkpoint.error
        assert not driver().backups("embedded", "local", machine.guest.vmid)

    def test_a_machine_cannot_go_back_where_its_present_would_be_in_the_way(self, spawned, carry, alice):
        machine = spawned()
        checkpoint = _checkpoint(machine, carry, alice)

        with pytest.raises(Conflict, match="can only go back to its newest snapshot"):
            actions.rollback(machine, checkpoint, by=alice)

    def test_an_ended_machine_goes_back_to_its_end(self, spawned, ended, carry, alice, newest):
        machine = ended(spawned())

        carry(actions.rollback(machine, newest(machine), by=alice))

        machine.refresh_from_db()
        assert machine.state == "running"
        assert not Guest.objects.get(pk=machine.guest_id).at_rest


def _checkpoint(machine, carry, alice) -> Checkpoint:
    checkpoint = actions.checkpoint(machine, by=alice)
    carry(Operation.objects.get(verb="checkpoint", arguments__checkpoint=str(checkpoint.id)))
    return Checkpoint.objects.select_related("guest").get(pk=checkpoint.pk)
