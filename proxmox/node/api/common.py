"""What the handlers of VMs share: tasks that hold a VM's lock, and rules that apply to tokens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from proxmox.node.configs import Config
from proxmox.node.errors import Failure
from proxmox.node.host import Host
from proxmox.node.locks import Held, Waiter
from proxmox.node.routes import Call
from proxmox.node.tasks import Task

VM = "/nodes/{node}/qemu/{vmid}"


def start_task(host: Host, call: Call, kind: str, work: Callable[[Task], None]) -> str:
    """Begin a task about the call's VM; returns its UPID."""
    return host.tasks.start(kind, call.vmid, call.user, work)


def locked(host: Host, vmid: int, task: Task, *, seconds: float | None = None) -> Held:
    """A VM's configuration lock, for a task."""
    return host.locks.hold(vmid, seconds=seconds, waiter=task)


@contextmanager
def allocating(host: Host, storage: str, task: Waiter) -> Iterator[None]:
    """A storage's lock, for as long as a volume is made on it. Raises `Failure`."""
    host.faults.check_storage(storage)
    with host.storage_locks.allocating(storage, task):
        yield


def change(host: Host, vmid: int, task: Task, edit: Callable[[Config], None]) -> Config:
    """Edit a configuration under its lock."""
    with locked(host, vmid, task):
        config = host.configs.load(vmid)
        edit(config)
        host.configs.save(vmid, config)
        return config


def set_lock(
    host: Host, vmid: int, task: Task, lock: str, also: Callable[[Config], None] = lambda config: None
) -> Config:
    """Check that a VM is not locked, and lock it for an operation; `also` is checked and changed in the same step."""

    def edit(config: Config) -> None:
        config.check_lock()
        also(config)
        config.values["lock"] = lock

    return change(host, vmid, task, edit)


def check_running(host: Host, vmid: int) -> None:
    """Raises `Failure` for a VM that is off, or that is none."""
    host.configs.view(vmid)
    if host.guests.power(vmid) == "stopped":
        raise Failure(f"VM {vmid} not running")
