"""Each fault × each operation × the death of the worker before and after the request.

CI runs a sample: every operation, every fault and every death of a worker, but few of their pairs; `--whole` runs every
cell. The matrix is printed at the end.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from checkpoints import actions as checkpoints
from checkpoints import reconcile as snapshots
from checkpoints.keeping import pruning
from checkpoints.models import Checkpoint
from checkpoints.states import Depth
from guests import actions as guests
from guests.models import Guest
from guests.states import State as GuestState
from machines import actions
from machines.keeping import pruning as retention
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


def _one_file_back(scene: Scene) -> Check:
    machine = scene.running()
    file = '"${GUEST_ROOT:-}/workspace/a"'
    driver().run(machine.guest.vm, f"echo one > {file}")
    target = actions.checkpoint(machine, by=scene.alice)
    scene.carry()
    driver().run(machine.guest.vm, f"echo two > {file}")
    machine.refresh_from_db()
    target = Checkpoint.objects.get(pk=target.pk)
    operation = actions.restore_file(machine, target, "a", by=scene.alice)

    def check() -> None:
        operation.refresh_from_db()
        machine.refresh_from_db()
        assert machine.state == "running"
        assert operation.error or operation.status == "succeeded"
        expected = b"two\n" if operation.error else b"one\n"
        assert driver().run(machine.guest.vm, f"cat {file}").out == expected

    return check


def _fell_back(scene: Scene) -> Check:
    """Somebody has deleted the snapshot that is gone back to; the one before it is."""
    machine = scene.running()
    older, target = (_taken(scene, machine) for _ in range(2))
    _await(driver().delete_snapshot(machine.guest.vm, target.snapshot))
    actions.rollback(machine, target, by=scene.alice)

    def check() -> None:
        snapshots.reconcile()
        machine.refresh_from_db()
        target.refresh_from_db()
        assert machine.state in {"running", "failed"}
        if machine.state == "running":
            assert machine.present_id == older.id
        assert (target.state, bool(target.error)) == ("broken", True)

    return check


def _taken(scene: Scene, machine: Machine) -> Checkpoint:
    machine.refresh_from_db()
    driver().run(machine.guest.vm, f'echo {uuid4()} > "${{GUEST_ROOT:-}}/workspace/a"')
    checkpoint = actions.checkpoint(machine, by=scene.alice)
    scene.carry()
    checkpoint.refresh_from_db()
    return checkpoint


def _await(upid: str | None) -> None:
    while upid and not driver().tasks([upid])[0].result:
        time.sleep(0.02)


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


def _pruned(scene: Scene) -> Check:
    """One goes, the machine's present stays; whatever happens on the way, in the end it is gone as a whole."""
    machine = scene.running()
    goes, stays = (_taken(scene, machine) for _ in range(2))
    pruning.set_rules(scene.project, ONE, by=scene.alice)
    assert retention.prune(scene.project) == 1

    def check() -> None:
        goes.refresh_from_db()
        if goes.state == "pruning":
            assert goes.error
            assert Operation.objects.filter(verb="prune", status="failed").exists()
            Operation.objects.update(finished_at=timezone.now() - 2 * pruning.AGAIN_AFTER)
            assert pruning.carry_on() == 1
            scene.carry()
            goes.refresh_from_db()
        stays.refresh_from_db()
        assert (goes.state, stays.state) == ("pruned", "captured")
        assert not [one for one in _backups(scene, machine) if str(goes.id) in one.notes]
        assert bool(stays.backup) == bool(
            [one for one in _backups(scene, machine) if str(stays.id) in one.notes]
        )

    return check


ONE = {"keep_last": 1, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "milestones": False}


def _taken(scene: Scene, machine: Machine) -> Checkpoint:
    checkpoint = actions.checkpoint(machine, by=scene.alice)
    scene.carry()
    checkpoint.refresh_from_db()
    assert checkpoint.usable, checkpoint.error
    machine.refresh_from_db()
    return checkpoint


def _verified(scene: Scene) -> Check:
    taken = actions.checkpoint(scene.running(), by=scene.alice)
    scene.carry()
    checkpoint = Checkpoint.objects.select_related("guest", "project").get(pk=taken.pk)
    verification = actions.verify(checkpoint, Depth.CONTENT, by=scene.alice)

    def check() -> None:
        verification.refresh_from_db()
        checkpoint.refresh_from_db()
        assert verification.verdict in {"passed", "abandoned"}
        assert verification.sentence
        assert checkpoint.state == "captured"
        assert bool(checkpoint.proven_at) == (verification.verdict == "passed")
        assert Guest.objects.get(pk=verification.scratch_id).state == GuestState.GONE

    return check


def _exported(scene: Scene) -> Check:
    taken = actions.checkpoint(scene.running(), by=scene.alice)
    scene.carry()
    checkpoint = Checkpoint.objects.select_related("guest", "project").get(pk=taken.pk)
    actions.export(checkpoint, by=scene.alice)

    def check() -> None:
        checkpoint.refresh_from_db()
        operation = Operation.objects.get(verb="export")
        found = [one for one in driver().backups(scene.node.name, "local") if str(checkpoint.id) in one.notes]
        assert len(found) == bool(checkpoint.backup)
        assert bool(checkpoint.backup) == (operation.status == "succeeded")
        assert checkpoint.backup or operation.error

    return check


def _shared(scene: Scene) -> Check:
    """Nothing changes between two checkpoints around calls: the second shares the snapshot, or has its own."""
    machine = scene.running()
    first = _around_a_call(scene, machine)
    scene.carry()
    second = _around_a_call(scene, machine)

    def check() -> None:
        first.refresh_from_db()
        second.refresh_from_db()
        names = [one.name for one in driver().snapshots(machine.guest.vm)]
        assert (first.state, names.count(first.snapshot)) == ("captured", 1)
        assert second.state == "captured" or second.error
        if second.shares:
            assert (second.shares, second.snapshot, names) == (first, first.snapshot, [first.snapshot])
            assert second.manifest
        elif second.state == "captured":
            assert names.count(second.snapshot) == 1

    return check


def _around_a_call(scene: Scene, machine: Machine) -> Checkpoint:
    machine.refresh_from_db()
    checkpoint = checkpoints.prepare(
        project=scene.project,
        guest=machine.guest,
        origin=machine.subject,
        name=machine.handle,
        kind=Checkpoint.Kind.AUTOMATIC,
        why="After answer 1",
        parent=machine.present or machine.source,
        position=checkpoints.Position(call_id=uuid4()),
    )
    Machine.objects.filter(pk=machine.pk).update(present=checkpoint)
    return checkpoints.take(checkpoint, by=None)


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
    Trial("fallback", "POST */rollback", _fell_back),
    Trial("file", "POST */agent/file-write", _one_file_back),
    Trial("delete", "DELETE */snapshot/*", _deleted),
    Trial("destroy", "DELETE */qemu/*", _destroyed),
    Trial("backup", "POST */vzdump", _backed_up, "zfs"),
    Trial("restore", "POST */qemu", _restored, "zfs"),
    Trial("verify", "POST */clone", _verified),
    Trial("export", "POST */vzdump", _exported),
    Trial("prune", "DELETE */snapshot/*", _pruned),
    Trial("unback", "DELETE */content/*", _pruned, "zfs"),
    Trial("share", "POST */agent/exec", _shared),
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
    """Every operation with one fault, every fault with one or two operations, every death with several."""
    return [
        (trial, fault, DEATHS[(row // 10 + column) % 3])
        for row, trial in enumerate(TRIALS)
        for column, fault in enumerate(FAULTS)
        if (row + column) % 10 == 0
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
