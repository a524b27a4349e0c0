"""The configured driver, on an embedded node of the test's own; and operations carried by hand."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from django.utils.module_loading import import_string

from budgets import actions as budgets
from checkpoints.models import Checkpoint
from guests.models import Guest
from machines import actions
from machines.models import Machine
from machines.states import State
from operations import watcher
from operations.models import Operation, Status
from projects.models import Project, User
from proxmox import connect
from tests.node_process import NodeProcess, start_node

SECONDS = 60


@pytest.fixture(scope="class")
def personality() -> str:
    """What the node's storage is like; a class says otherwise by overriding it."""
    return "lvmthin"


@pytest.fixture(scope="class")
def node(personality: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node that accepts faults. Its name is that of the fixtures' template."""
    directory = tmp_path_factory.mktemp("node")
    with start_node(directory, faults=True, storage_type=personality, node_name="embedded") as running:
        pools = f"{running.url}/api2/json/pools"
        requests.post(pools, headers=running.headers, data={"poolid": "autovibe"}, timeout=10)
        yield running


@pytest.fixture
def connected(node: NodeProcess, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[NodeProcess]:
    """The settings name that node. Whatever faults a test has planned are gone after it."""
    settings.PROXMOX_URL, settings.PROXMOX_TOKEN = node.url, node.token
    monkeypatch.setattr(connect, "_local", threading.local())
    yield node
    requests.delete(f"{node.url}/fault", headers=node.headers, timeout=5)


@pytest.fixture
def fault(connected: NodeProcess) -> Callable[..., None]:
    """Plan a fault at the node (see proxmox.node.faults)."""

    def plan(**fault: Any) -> None:
        url = f"{connected.url}/fault"
        requests.post(url, headers=connected.headers, json=fault, timeout=5).raise_for_status()

    return plan


@pytest.fixture
def carry(connected: NodeProcess) -> Callable[..., Operation]:
    """Be worker and hub until the operation ended, or has come to that status; at least for one round."""

    def carry(operation: Operation, *, until: tuple[Status, ...] = ()) -> Operation:
        deadline = time.monotonic() + SECONDS
        looked = False
        while not operation.ended and not (looked and operation.status in until):
            looked = True
            assert time.monotonic() < deadline, f"{operation} is still {operation.status}: {operation.error}"
            import_string(operation.task)(str(operation.id))
            time.sleep(min(watcher.tick(), 0.1))
            operation.refresh_from_db()
        return operation

    return carry


@pytest.fixture
def spawned(
    carry: Callable[..., Operation], project: Project, genesis: Checkpoint, alice: User
) -> Callable[..., Machine]:
    """A machine that runs a shell command in a guest of the node."""

    def spawned(source: Checkpoint | None = None, prompt: str = "sleep 600") -> Machine:
        if not budgets.applicable(budgets.Payer(project.id)):
            budgets.set_limit(project, resource="money", limit=1_000_000, by=alice)
        # As the database has it now: the hub has looked at its guest's disk since.
        fresh = Checkpoint.objects.select_related("guest").get(pk=(source or genesis).pk)
        machine = actions.spawn(project=project, source=fresh, type_name="shell", prompt=prompt, by=alice)
        operation = carry(Operation.objects.get(subject=machine.subject, verb="spawn"))
        assert operation.status == Status.SUCCEEDED, operation.error
        machine.refresh_from_db()
        return machine

    return spawned


@pytest.fixture
def ended(carry: Callable[..., Operation], alice: User) -> Callable[[Machine], Machine]:
    """Terminate the machine, and see it end."""

    def ended(machine: Machine) -> Machine:
        carry(actions.terminate(machine, by=alice))
        machine.refresh_from_db()
        assert machine.state == State.TERMINATED, machine.sentence
        machine.guest = Guest.objects.get(pk=machine.guest_id)
        return machine

    return ended
