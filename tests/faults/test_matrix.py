"""Each fault × each operation × the death of the worker before and after the request.

CI runs a sample in which every pair occurs; `--whole` runs every cell. The matrix is printed at the end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest

from checkpoints.models import Checkpoint
from guests import actions as guests
from guests.models import Guest
from guests.states import State as GuestState
from machines import actions
from machines.models import Machine
from operations.models import Operation
from proxmox.connect import driver
from proxmox.storage_kinds import Branch
from tests.faults.conftest import Scene
from tests.faults.worker import Death

pytestmark = pytest.mark.e2e

Check = Callable[[], None]


@dataclass(frozen=True)
class Trial:
    """An operation: the request that it is about, how it comes about, and what must be true afterwards."""

    name: str
    request: str
    begin: Callable[[Scene], Check]
    personality: str = "lvmthin"


def _spawned(scene: Scene) -> Check:
    machine = scene.spawn()

    def check() -> None:
        machine.refresh_from_db()
        assert machine.state in {"running", "failed"}
        if machine.state == "failed":
            assert Guest.objects.get(pk=machine.guest_id).state == GuestState.GONE

    return check


def _checkpointed(scene: Scene) -> Check:
    machine = scene.running()
    checkpoint = actions.checkpoint(machine, by=scene.alice)

    def check() -> None:
        checkpoint.refresh_from_db()
        machine.refresh_from_db()
        assert machine.state == "running"
        assert checkpoint.state == "captured" or checkpoint.error
        names = [one.name for one in driver().snapshots(machine.guest.vm)]
        assert names.count(checkpoint.snapshot) == (checkpoint.state == "captured")

    return check


def _rolled_back(scene: Scene) -> Check:
    machine = scene.running()
    target = actions.checkpoint(machine, by=scene.alice)
    scene.carry()
    target.refresh_from_db()
    actions.rollback(machine, target, by=scene.alice)

    def check() -> None:
        machine.refresh_from_db()
        assert machine.state in {"running", "failed"}
        if machine.state == "running":
            assert machine.present_id == target.id

    return check


def _deleted(scene: Scene) -> Check:
    machine = scene.running()
    checkpoint = actions.checkpoint(machine, by=scene.alice)
    scene.carry()
    guests.drop_snapshot(machine.guest, checkpoint.snapshot)
    Checkpoint.objects.filter(pk=checkpoint.pk).update(state="broken", error="It was deleted.")

    def check() -> None:
        operation = Operation.objects.get(verb="drop_snapshot")
        there = checkpoint.snapshot in [one.name for one in driver().snapshots(machine.guest.vm)]
        assert there == (operation.status == "failed")
        assert operation.error or not there

    return check


def _destroyed(scene: Scene) -> Check:
    machine = _at_its_end(scene)
    guests.condemn(machine.guest)

    def check() -> None:
        assert Guest.objects.get(pk=machine.guest_id).state == GuestState.GONE
        Machine.objects.all().delete()

    return check


def _backed_up(scene: Scene) -> Check:
    machine = scene.running()
    checkpoint = actions.checkpoint(machine, by=scene.alice)

    def check() -> None:
        checkpoint.refresh_from_db()
        found = [one for one in _backups(scene, machine) if str(checkpoint.id) in one.notes]
        assert len(found) == bool(checkpoint.backup)
        assert checkpoint.backup or checkpoint.error

    return check


def _restored(scene: Scene) -> Check:
    machine = scene.running()
    checkpoint = actions.checkpoint(machine, by=scene.alice)
    scene.carry()
    checkpoint.refresh_from_db()
    assert checkpoint.branching.strategy == Branch.BACKUP
    branch = scene.spawn(Checkpoint.objects.get(pk=checkpoint.pk))

    def check() -> None:
        branch.refresh_from_db()
        assert branch.state in {"running", "failed"}
        if branch.state == "failed":
            assert Guest.objects.get(pk=branch.guest_id).state == GuestState.GONE

    return check


def _at_its_end(scene: Scene) -> Machine:
    machine = scene.running()
    actions.terminate(machine, by=scene.alice)
    scene.carry()
    Checkpoint.objects.filter(guest=machine.guest).update(state="broken", error="It was deleted.")
    return Machine.objects.select_related("guest").get(pk=machine.pk)


def _backups(scene: Scene, machine: Machine) -> list[Any]:
    return driver().backups(scene.node.name, "local", machine.guest.vmid)


TRIALS = (
    Trial("clone", "POST */clone", _spawned),
    Trial("start", "POST */status/start", _spawned),
    Trial("snapshot", "POST */snapshot", _checkpointed),
    Trial("rollback", "POST */rollback", _rolled_back),
    Trial("delete", "DELETE */snapshot/*", _deleted),
    Trial("destroy", "DELETE */qemu/*", _destroyed),
    Trial("backup", "POST */vzdump", _backed_up, "zfs"),
    Trial("restore", "POST */qemu", _restored, "zfs"),
)
FAULTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "596 after it was accepted": {"action": "lose", "status": 596},
    "dropped after it was accepted": {"action": "drop"},
    "595 before": {"action": "fail", "status": 595, "reason": "Connection refused"},
    "task killed": {"action": "kill-task"},
    "disk full": {"action": "disk-full"},
    "slow": {"action": "slow-task", "seconds": 1.0},
    "stale lock": {"action": "lock", "lock": "backup"},
    "no quorum": {"action": "no-quorum"},
    "node down": {"action": "node-down"},
}
DEATHS = ("worker lives", "dies before", "dies after")
CELLS = list(product(TRIALS, FAULTS, DEATHS))


def _sampled() -> list[tuple[Trial, str, str]]:
    """A third of the cells: every operation with several faults, every fault with several, every death with each."""
    return [
        (trial, fault, DEATHS[(row // 3 + column) % 3])
        for row, trial in enumerate(TRIALS)
        for column, fault in enumerate(FAULTS)
        if (row + column) % 3 == 0
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cells = CELLS if metafunc.config.getoption("--whole") else _sampled()
    ids = [f"{trial.name}-{fault}-{death}".replace(" ", "_") for trial, fault, death in cells]
    metafunc.parametrize(("trial", "fault", "death"), cells, ids=ids)


def test_nothing_is_orphaned_or_doubled_and_every_machine_is_told_as_it_is(
    scene: Callable[[str], Scene], trial: Trial, fault: str, death: str, record_property: Any
) -> None:
    record_property("cell", (trial.name, fault, death))
    at = scene(trial.personality)
    check = trial.begin(at)
    if planned := FAULTS[fault]:
        _plan(at, trial, planned)

    at.carry(Death(death.removeprefix("dies "), trial.request) if death.startswith("dies") else None)

    at.tidy()
    check()
    at.check()


def _plan(scene: Scene, trial: Trial, fault: dict[str, Any]) -> None:
    if fault["action"] == "lock":
        guests_of = Machine.objects.exclude(guest__state=GuestState.ALLOCATED).select_related("guest")
        vmid = guests_of.first().guest.vmid if guests_of.exists() else 9000
        scene.plan(vmid=vmid, **fault)
    elif fault["action"] in {"no-quorum", "node-down"}:
        scene.plan(**fault)
    else:
        scene.plan(match=trial.request, times=1, **fault)
