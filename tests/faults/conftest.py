"""Two nodes, machines on them, and whoever carries operations to their end whatever happens."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import requests
from django.utils import timezone

from budgets import actions as budgets
from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint
from guests import observe, reconcile
from guests.models import Guest
from guests.states import State as GuestState
from machines import actions
from machines.limits import enforce
from machines.models import Machine
from operations import engine, watcher
from operations.models import Operation, Status
from projects import actions as projects
from projects.models import Project, User
from proxmox import connect
from proxmox.connect import driver
from tests.faults.worker import Death, perform
from tests.node_operator import NodeOperator
from tests.node_process import NodeProcess, start_node

SECONDS = 60


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The matrix: what was tried, and what came of it."""
    cells: dict[str, dict[str, str]] = {}
    for outcome, sign in (("passed", "ok"), ("failed", "FAILED")):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties:
                if name == "cell":
                    operation, fault, death = value
                    cells.setdefault(f"{fault}, {death}", {})[operation] = sign
    if not cells:
        return
    columns = sorted({operation for row in cells.values() for operation in row})
    terminalreporter.section("faults × operations")
    terminalreporter.write_line(f"{'':46}" + "".join(f"{column:>10}" for column in columns))
    for row in sorted(cells):
        marks = "".join(f"{cells[row].get(column, '·'):>10}" for column in columns)
        terminalreporter.write_line(f"{row:46}{marks}")


@pytest.fixture(scope="session")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, NodeProcess]]:
    home = tmp_path_factory.mktemp("nodes")
    with (
        start_node(home / "thin", faults=True, storage_type="lvmthin", node_name="embedded") as thin,
        start_node(home / "zfs", faults=True, storage_type="zfs", node_name="embedded") as zfs,
    ):
        yield {"lvmthin": thin, "zfs": zfs}


@dataclass
class Scene:
    """One node, one project, and the hands of workers, hub and operator."""

    node: NodeProcess
    project: Project
    alice: User
    genesis: Checkpoint
    begun: list[Operation] = field(default_factory=list)

    def spawn(self, source: Checkpoint | None = None) -> Machine:
        fresh = Checkpoint.objects.select_related("guest").get(pk=(source or self.genesis).pk)
        return actions.spawn(
            project=self.project,
            source=fresh,
            type_name="shell",
            prompt="sleep 600",
            by=self.alice,
        )

    def running(self) -> Machine:
        machine = self.spawn()
        self.carry()
        machine.refresh_from_db()
        assert machine.state == "running", machine.sentence
        return machine

    # --- faults ---

    def plan(self, **fault: Any) -> None:
        self._fault("POST", json=fault)

    def clear(self) -> None:
        self._fault("DELETE")

    def _fault(self, method: str, **options: Any) -> None:
        url = f"{self.node.url}/fault"
        requests.request(method, url, headers=self.node.headers, timeout=10, **options).raise_for_status()

    # --- carrying ---

    def carry(self, death: Death | None = None) -> bool:
        """Until nothing is under way any more. The first worker that comes to the deadly request dies there.

        False where none came to it.
        """
        deadline = time.monotonic() + SECONDS
        rounds = 0
        while operation := Operation.objects.active().order_by("created_at").first():
            assert time.monotonic() < deadline, f"{operation}: {operation.status} {operation.error}"
            rounds += 1
            if rounds == 4:
                self.clear()  # the node, or the quorum, is back
            if self._round(death) is False:
                death = None
        return death is None

    def tidy(self) -> None:
        """A minute passes, and the hub sees to what could not be destroyed or switched off."""
        a_while_ago = timezone.now() - timedelta(minutes=2)
        Operation.objects.filter(finished_at__isnull=False).update(finished_at=a_while_ago)
        Machine.objects.filter(ended_at__isnull=False).update(ended_at=a_while_ago)
        observe.observe()
        enforce.tidy()
        self.carry()

    def _round(self, death: Death | None) -> bool:
        survived = True
        for operation in Operation.objects.active().order_by("created_at"):
            if operation.status == Status.QUEUED:
                survived = perform(operation, death) and survived
            elif operation.status == Status.RUNNING:  # its worker is dead
                long_ago = timezone.now() - timedelta(minutes=1)
                Operation.objects.filter(pk=operation.pk).update(claimed_at=long_ago)
            elif operation.status == Status.NEEDS_OPERATOR:
                NodeOperator(self.node.url, self.node.token, self.node.name).obey(operation.error)
                Operation.objects.filter(pk=operation.pk).update(resume_at=timezone.now())
            elif not operation.upid:  # do not sit out the pause
                Operation.objects.filter(pk=operation.pk).update(resume_at=timezone.now())
        watcher.reap()
        time.sleep(min(watcher.tick(), 0.1))
        return survived

    # --- truth ---

    def check(self) -> None:
        """Nothing is orphaned, nothing doubled, nothing locked, and every machine is what it is said to be."""
        self.clear()
        observe.observe()
        vms = {vm.vmid: vm for vm in driver().inventory()}
        guests = {guest.vmid: guest for guest in Guest.objects.exclude(state=GuestState.GONE)}
        assert set(vms) == set(guests), "orphans, or guests without a VM"
        for vm in vms.values():
            if vm.lock:
                self._is_told(guests[vm.vmid])
        for vmid, guest in guests.items():
            if not guest.template:
                assert str(guest.id) in driver().config(guest.vm)["description"], f"{vmid} is somebody else's"
        for machine in Machine.objects.select_related("guest"):
            self._check_machine(machine)

    def _is_told(self, guest: Guest) -> None:
        """A lock that a dead task left on a VM which nobody needs now is shown with the command that removes it."""
        Guest.objects.filter(pk=guest.pk).update(lock_since=timezone.now() - timedelta(minutes=2))
        reconcile.reconcile()
        (sentence,) = Guest.objects.get(pk=guest.pk).drift
        assert f"qm unlock {guest.vmid}" in sentence

    def _check_machine(self, machine: Machine) -> None:
        power = machine.guest.power
        if machine.state == "running":
            assert power == "running"
        elif machine.state == "failed":
            assert machine.sentence
            assert power in {"stopped", "absent", "unknown"}
        for checkpoint in Checkpoint.objects.filter(guest=machine.guest):
            names = [one.name for one in driver().snapshots(machine.guest.vm) if one.complete]
            expected = 1 if checkpoint.usable else 0
            assert names.count(checkpoint.snapshot) >= expected, f"{checkpoint} has no snapshot"
            assert checkpoint.state in {"captured", "broken", "pruned"}
            assert checkpoint.state != "pruned" or checkpoint.snapshot not in names, (
                f"{checkpoint} left its snapshot"
            )


@pytest.fixture
def scene(
    transactional_db: None, nodes: dict[str, NodeProcess], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Scene]]:
    """A scene on the node with that storage."""
    made: list[Scene] = []

    def build(personality: str) -> Scene:
        node = nodes[personality]
        settings.PROXMOX_URL, settings.PROXMOX_TOKEN = node.url, node.token
        settings.PROXMOX_BACKUP_STORAGE = "local"
        monkeypatch.setattr(connect, "_local", threading.local())
        monkeypatch.setattr(engine, "STUCK_AFTER", timedelta(seconds=0.5))
        alice = User.objects.create_user("alice")
        project = projects.create(slug="demo", by=alice)
        budgets.set_limit(project, resource="money", limit=1_000_000, by=alice)
        template = Guest.objects.create(vmid=9000, node=node.name, template=True, state=GuestState.PRESENT)
        made.append(Scene(node, project, alice, checkpoints.genesis(project, template)))
        reconcile.reconcile()
        return made[-1]

    yield build
    for one in made:
        one.clear()
        _sweep(one.node)


def _sweep(node: NodeProcess) -> None:
    """The next test begins with the template alone."""
    root = f"{node.url}/api2/json/nodes/{node.name}/qemu"
    vmids = [row["vmid"] for row in requests.get(root, headers=node.headers, timeout=10).json()["data"]]
    for vmid in vmids:
        if vmid != 9000:
            requests.post(
                f"{node.url}/fault", headers=node.headers, json={"action": "unlock", "vmid": vmid}, timeout=10
            )
            for method, path in (("POST", f"{root}/{vmid}/status/stop"), ("DELETE", f"{root}/{vmid}")):
                upid = requests.request(method, path, headers=node.headers, timeout=30).json()["data"]
                while upid and not driver().tasks([upid])[0].result:
                    time.sleep(0.01)
