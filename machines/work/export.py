"""Exporting: a checkpoint's state to the backup storage, without holding the agent, and exactly as it was.

A guest that is at rest is put back to the checkpoint and backed up itself. Of any other a copy is made, which is
never started, and that is backed up.
"""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from checkpoints.models import Checkpoint
from checkpoints.states import State
from checkpoints.taking import backups
from checkpoints.trust import proofs
from guests import actions as guest_actions
from guests import locks
from guests.models import Guest, Source
from machines.work import scratch
from operations.engine import Outcome, Plan, Step
from operations.models import Operation
from operations.slots import Slots
from proxmox import errors
from proxmox.connect import driver
from proxmox.diagnosis.roles import held
from proxmox.driver import Backup, Power


@dataclass
class Export:
    """The context of the plan."""

    operation: Operation
    checkpoint: Checkpoint
    copy: Guest | None  # where its state is copied to; none: its own guest is at rest

    @property
    def scratch(self) -> Guest:
        assert self.copy is not None
        return self.copy

    @property
    def source(self) -> Source:
        return self.checkpoint.source

    @property
    def guest(self) -> Guest:
        """The one that is backed up."""
        return self.copy or self.checkpoint.guest

    @property
    def asked_at(self) -> datetime:
        return self.operation.asked_at or self.operation.created_at


def load(operation: Operation) -> Export:
    """The context as the database has it now."""
    arguments = operation.arguments
    checkpoint = Checkpoint.objects.select_related("guest", "project").get(pk=arguments["checkpoint"])
    key = arguments.get("scratch")
    return Export(operation, checkpoint, Guest.objects.get(pk=key) if key else None)


def _copied(export: Export) -> bool:
    return export.copy is not None


def _check(export: Export) -> Outcome:
    """A backup of a VM that is gone is seen and restored by those only who may do so to any (PVE::Storage)."""
    granted = driver().permissions()
    storage = f"/storage/{settings.PROXMOX_BACKUP_STORAGE}"
    if "Datastore.Allocate" in held(granted, storage) or "VM.Backup" in held(granted, "/vms"):
        return None
    raise errors.Refused(
        "The copy that is backed up is deleted afterwards, and then the token may not see the backup. An operator "
        f"runs: pveum acl modify {storage} --roles PVEDatastoreAdmin --tokens 'USER@REALM!NAME'"
    )


def _rewind(export: Export) -> Outcome:
    if export.copy:
        return scratch.rewind(export)
    guest = export.checkpoint.guest
    if not guest.at_rest or driver().observe(guest.vm).power != Power.STOPPED:
        raise errors.Refused(f"VM {guest.vmid} is in use again.")
    return driver().rollback(guest.vm, export.checkpoint.snapshot)


def _back_up(export: Export) -> Outcome:
    checkpoint = export.checkpoint
    if _backup(export):
        return None
    storage = settings.PROXMOX_BACKUP_STORAGE
    return driver().back_up(
        export.guest.vm, storage, f"{checkpoint.handle} {checkpoint.id} {export.operation.id}"
    )


def _look_for_backup(export: Export) -> bool | str:
    """What became of a backup whose answer was lost."""
    if _backup(export):
        return True
    vm = export.guest.vm
    upid = driver().find_task(vm.node, "vzdump", vm.vmid, export.asked_at.timestamp())
    return upid if upid and not driver().tasks([upid])[0].result else False


def _slots(export: Export) -> Slots:
    """Proxmox writes one backup at a time on a node (pve-manager: VZDump.pm, vzdump.lock)."""
    return {f"backup:{export.guest.node}": 1}


def _backup(export: Export) -> Backup | None:
    """What this operation has written, shown once it is whole.

    Any other that names the checkpoint may be of a later state, or bad, and only could not be deleted.
    """
    found = driver().backups(export.guest.node, settings.PROXMOX_BACKUP_STORAGE)
    return next((one for one in found if str(export.operation.id) in one.notes), None)


def _file(export: Export) -> Outcome:
    """Note where it is and how large; see `_done`."""
    found = _backup(export)
    if found is None:
        raise errors.ProxmoxError("The backup was written, and is not there.")
    arguments = export.operation.arguments | {"volume": found.volume, "bytes": found.bytes}
    export.operation.note(arguments=arguments)
    return None


def _done(export: Export) -> None:
    arguments = export.operation.arguments
    current = Checkpoint.objects.select_for_update(no_key=True).get(pk=export.checkpoint.pk)
    if current.state == State.CAPTURED:
        backups.durable(current, arguments["volume"], arguments["bytes"])
    _drop(export)


def _failed(export: Export, sentence: str) -> None:
    proofs.not_durable(export.checkpoint, sentence)
    _drop(export)


def _drop(export: Export) -> None:
    if export.copy:
        guest_actions.condemn(export.copy)


def _blocked(export: Export) -> str:
    return locks.blocked(*filter(None, [export.copy, export.checkpoint.guest]))


PLAN: Plan[Export] = Plan(
    load=load,
    steps=(
        Step("check", "Asking what the token may do", _check, needed=_copied),
        Step("rewind", "Putting the source back", _rewind),
        Step(
            "clone",
            "Copying its state",
            scratch.clone,
            look=scratch.look_for_clone,
            slots=scratch.slots,
            needed=_copied,
        ),
        Step("mark", "Setting size and mark", scratch.mark, needed=_copied),
        Step("backup", "Backing up", _back_up, look=_look_for_backup, slots=_slots),
        Step("file", "Noting where it is", _file),
    ),
    succeed=_done,
    fail=_failed,
    blocked=_blocked,
)
