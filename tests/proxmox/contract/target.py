"""What the contract is tried on: an embedded node, or a real Proxmox VE that the environment names.

On a real one it makes VMs in its own pool and VMID range only, removes what it made, and touches nothing else.
"""

import itertools
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxmox import errors
from proxmox.driver import MARK, VM, Clone, Storage
from proxmox.pve import PveDriver
from tests.node_process import start_node
from tests.proxmox.contract.least import POOL, TEMPLATE, give_least_rights

URL, TOKEN = os.environ.get("PVE_CONTRACT_URL", ""), os.environ.get("PVE_CONTRACT_TOKEN", "")
FINGERPRINT = os.environ.get("PVE_CONTRACT_FINGERPRINT", "")
CA_FILE = os.environ.get("PVE_CONTRACT_CA", "")
VMIDS = os.environ.get("PVE_CONTRACT_VMIDS", "990000-990099")
# Each kind of storage, and each release; `least`: with no more rights than docs/proxmox.md tells people to give.
EMBEDDED = ["lvmthin 8.4 least", "lvmthin 9.2", "qcow2 9.2 least", "zfs 8.4"]
TARGETS = ["real"] if URL else EMBEDDED


@dataclass
class Target:
    """One Proxmox, and what was made on it."""

    connect: Callable[[], PveDriver]  # a further driver, for a thread of its own
    driver: PveDriver
    node: str
    storage: Storage  # where the template's disk is
    seconds: float  # how long a task, or a guest's boot, may take
    numbers: Iterator[int]
    owner: str = field(default_factory=lambda: str(uuid.uuid4()))
    made: list[VM] = field(default_factory=list)
    backups: list[str] = field(default_factory=list)

    @property
    def template(self) -> VM:
        return VM(self.node, TEMPLATE)

    @property
    def newest_only(self) -> bool:
        """Whether the storage goes back to the newest snapshot only."""
        return self.storage.kind == "zfspool" or self.storage.chain

    def fresh(self) -> VM:
        """A VM that is not there yet; the number is free."""
        vm = VM(self.node, next(self.numbers), self.owner)
        with suppress(errors.Missing):
            self.driver.config(vm)
            pytest.exit(f"VMID {vm.vmid} of PVE_CONTRACT_VMIDS is taken; nothing was done to it.", 2)
        self.made.append(vm)
        return vm

    def cloning(self, vm: VM, source: VM | None = None, snapshot: str = "", *, full: bool = False) -> Clone:
        return Clone(
            source=source or self.template,
            snapshot=snapshot,
            target=vm,
            name=f"contract-{vm.vmid}",
            description=f"contract\n{self.owner}",
            pool=POOL,
            full=full,
        )

    def make(self, source: VM | None = None, snapshot: str = "", *, full: bool = False) -> VM:
        """A VM of ours, powered off."""
        vm = self.fresh()
        self.done(self.driver.clone(self.cloning(vm, source, snapshot, full=full)))
        self.driver.configure(vm, {"tags": MARK})
        return vm

    def boot(self, vm: VM) -> VM:
        """Power on; then the guest agent answers."""
        self.done(self.driver.start(vm))
        deadline = time.monotonic() + self.seconds
        while not self.driver.agent_answers(vm):
            assert time.monotonic() < deadline, "The template's guest agent does not answer."
            time.sleep(0.1)
        return vm

    def ended(self, upid: str | None) -> str:
        """How a task ended. Work that Proxmox did at once has no task."""
        deadline = time.monotonic() + self.seconds
        while upid and time.monotonic() < deadline:
            if result := self.driver.tasks([upid])[0].result:
                return result
            time.sleep(0.05)
        assert upid is None, f"{upid} did not end."
        return "OK"

    def done(self, upid: str | None) -> None:
        """The task ends well."""
        result = self.ended(upid)
        assert result == "OK" or result.startswith("WARNINGS"), (
            f"{result}\n{self.driver.task_log(upid or '')}"
        )

    def failed(self, upid: str | None) -> type[errors.ProxmoxError]:
        """The class of error that the task ends with."""
        result = self.ended(upid)
        assert result != "OK"
        return type(errors.of_task(result, self.driver.task_log(upid) if upid else ""))

    def clean_up(self) -> None:
        """Remove what was made. What cannot be removed is told."""
        for volume in self.backups:  # first: the right to them is the right to their VM
            self.ended(self.driver.delete_volume(self.node, volume))
        left = [one for one in reversed(self.made) if not self._gone(one)]
        assert not left, f"These VMs could not be removed: {[vm.vmid for vm in left]}"

    def _gone(self, vm: VM) -> bool:
        with suppress(errors.Missing):
            self.driver.configure(vm, {"tags": MARK})  # one that a failed test left half made
            self.ended(self.driver.stop(vm))
            return self.ended(self.driver.destroy(vm)).startswith(("OK", "WARNINGS"))
        return True


@contextmanager
def target_named(name: str, state: Path) -> Iterator[Target]:
    """A target for as long as the context lasts."""
    if name == "real":
        first, _, last = VMIDS.partition("-")
        numbers: Iterator[int] = iter(range(int(first), int(last) + 1))
        yield from _used(_real, numbers, seconds=300)
        return
    kind, release, *least = name.split()
    with start_node(state, storage_type=kind, release=release) as node:
        token = give_least_rights(node, release) if least else node.token
        yield from _used(lambda: PveDriver(node.url, token, pool=POOL), itertools.count(20_000), seconds=20)


def _real() -> PveDriver:
    return PveDriver(URL, TOKEN, verify_tls=CA_FILE or True, fingerprint=FINGERPRINT, pool=POOL)


def _used(connect: Callable[[], PveDriver], numbers: Iterator[int], *, seconds: float) -> Iterator[Target]:
    driver = connect()
    node = driver.locate(TEMPLATE)
    assert node, (
        f"The token sees no VM {TEMPLATE}: set PVE_CONTRACT_TEMPLATE, and give the token VM.Audit on it."
    )
    driver.ensure_pool(POOL)
    target = Target(connect, driver, node, _storage_of(driver, VM(node, TEMPLATE)), seconds, numbers)
    try:
        yield target
    finally:
        target.clean_up()


def _storage_of(driver: PveDriver, vm: VM) -> Storage:
    config = driver.config(vm)
    disk = next(config[name] for name in ("scsi0", "virtio0", "sata0", "ide0") if name in config)
    name = disk.partition(":")[0]
    return next(one for one in driver.storages() if one.name == name and one.node == vm.node)
