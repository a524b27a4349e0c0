"""Fault injection: what clients must survive can be had on demand, by `POST /fault` or the header `X-Fault`.

Of requests that match (`match` is a shell pattern for "METHOD path", the path without /api2/json; `times` of them,
0: until cleared):

- `fail`: nothing is done, the answer is `status` and `reason` (a `status` of 200 answers `reason` as the data)
- `lose`: it is done, and the answer is `status` and `reason` all the same, as of a proxy that gave up waiting
- `drop`: it is done, and the connection ends without an answer
- `delay`: it begins `seconds` late

Of the task that such a request starts:

- `kill-task`: the worker vanishes where it is in the middle, and leaves its lock; the status is `unexpected status`
- `kill-task-late`: the worker vanishes when everything is done
- `fail-task`: the work breaks off in the middle with `reason`
- `disk-full`: the same with what the storage's tools say when there is no space left (or with `reason`)
- `warn-task`: the work succeeds with the warning `reason`
- `slow-task`: the work takes `seconds` longer; what it holds, it holds that long

Lasting, until `DELETE /fault`:

- `no-quorum`: every write is refused, except those that change nothing in the cluster (guest agent, log-in, console)
- `node-down`: nothing below /nodes/{node} is reachable, and the cluster knows nothing of its VMs
- `storage-down`: nothing can be allocated on `storage`

At once:

- `lock`: the VM `vmid` has the lock `lock`, as a worker that died long ago leaves it
- `unlock`: what `qm unlock` does on a node, which no API token may

The header has the same words: `X-Fault: slow-task;seconds=3`; what it asks for concerns this very request.
"""

import asyncio
import fnmatch
import glob
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from proxmox.node.configs import Configs
from proxmox.node.errors import BadParameters, Failure
from proxmox.node.schema import Parameter, check
from proxmox.node.tasks import Task

_REQUEST = ("fail", "lose", "drop", "delay")
_TASK = ("kill-task", "kill-task-late", "fail-task", "disk-full", "warn-task", "slow-task")
_LASTING = ("no-quorum", "node-down", "storage-down")
_AT_ONCE = ("lock", "unlock")
_NEEDED = {"storage-down": "storage", "lock": "vmid", "unlock": "vmid"}
_SCHEMA = {
    "action": Parameter(optional=False, enum=(*_REQUEST, *_TASK, *_LASTING, *_AT_ONCE)),
    "match": Parameter(),
    "status": Parameter("integer", minimum=200, maximum=599),
    "reason": Parameter(),
    "seconds": Parameter("number", minimum=0),
    "times": Parameter("integer", minimum=0),
    "vmid": Parameter("integer", format="pve-vmid"),
    "lock": Parameter(),
    "storage": Parameter(format="pve-storage-id"),
}
# As LVM, qemu-img and ZFS say it; the words before are PVE::Storage's.
_FULL = {
    "lvmthin": "lvcreate 'pve/vm-{id}-disk-0' error:   "
    'Volume group "pve" has insufficient free space (0 extents): 1024 required.',
    "dir": "unable to create image: qemu-img: vm-{id}-disk-0.qcow2: "
    "Could not resize image: Failed to grow the file: No space left on device",
    "zfspool": "zfs error: cannot create 'rpool/data/vm-{id}-disk-0': out of space",
}
# These need no write to the cluster's configuration.
_WITHOUT_QUORUM = ("*/agent", "*/agent/*", "/access/ticket", "*/termproxy", "*/vncproxy")


@dataclass
class Fault:
    """One planned fault."""

    action: str
    match: str
    status: int = 596
    reason: str = ""
    seconds: float = 0.0
    times: int = 1

    async def before(self) -> None:
        """What happens before the request is acted on. Raises `Failure` when it is not to be."""
        if self.action == "delay":
            await asyncio.sleep(self.seconds)
        if self.action == "fail" and not self.answers:
            raise self._answer()

    @property
    def answers(self) -> bool:
        """Whether the answer is `reason`, and nothing is done."""
        return self.action == "fail" and self.status == 200

    def after(self) -> None:
        """What becomes of the answer. Raises `Failure`."""
        if self.action == "lose":
            raise self._answer()

    @property
    def drops(self) -> bool:
        """Whether the connection ends instead of an answer."""
        return self.action == "drop"

    def afflict(self, task: Task) -> None:
        """What happens to the task that the request starts."""
        text = self.reason.format(id=task.upid.id) if self.action == "disk-full" else self.reason
        afflictions: dict[str, Callable[[], None]] = {
            "kill-task": task.doom,
            "kill-task-late": lambda: task.doom(late=True),
            "fail-task": lambda: task.break_off(text),
            "disk-full": lambda: task.break_off(text),
            "warn-task": lambda: task.warn(text),
            "slow-task": lambda: task.slow_down(self.seconds),
        }
        if affliction := afflictions.get(self.action):
            affliction()

    def _answer(self) -> Failure:
        return Failure(self.reason, status=self.status, bare=self.status > 590)


class Faults:
    """The faults that are still to happen, in the order they were given, and those that last."""

    def __init__(self, configs: Configs, plugin: str) -> None:
        """`plugin`: the kind of storage whose words a full disk is told in."""
        self._configs = configs
        self._full = _FULL[plugin]
        self._lock = threading.Lock()
        self.clear()

    def add(self, given: dict[str, Any]) -> None:
        """Plan a fault, or let it happen. Raises `BadParameters`."""
        wanted = check(_SCHEMA, given)
        if missing := {_NEEDED.get(wanted["action"], "action")} - wanted.keys():
            raise BadParameters(dict.fromkeys(missing, "property is missing and it is not optional"))
        if wanted["action"] in _AT_ONCE:
            self._set_lock(wanted["vmid"], wanted.get("lock", "") if wanted["action"] == "lock" else "")
        elif wanted["action"] in _LASTING:
            self._lasting.add((wanted["action"], wanted.get("storage", "")))
        else:
            self._plan(self._fault(wanted), first=False)

    def clear(self) -> None:
        """No more faults. Locks that they have left stay."""
        with self._lock:
            self._faults: list[Fault] = []
            self._lasting: set[tuple[str, str]] = set()

    def take(self, method: str, path: str, header: str = "") -> Fault | None:
        """The fault that befalls this request. Raises `BadParameters` for a `header` that cannot be read."""
        if header:
            wanted = check(_SCHEMA, _words(header) | {"match": f"{method} {glob.escape(path)}"})
            if wanted["action"] not in {*_REQUEST, *_TASK}:
                raise BadParameters({"action": "not of a single request"})
            self._plan(self._fault(wanted), first=True)
        with self._lock:
            for fault in self._faults:
                if fnmatch.fnmatchcase(f"{method} {path}", fault.match):
                    self._count(fault)
                    return fault
        return None

    def check_request(self, method: str, path: str) -> None:
        """Raises `Failure` for a request that a lasting fault is in the way of."""
        if self.node_down and path.startswith("/nodes/"):
            raise Failure("No route to host", status=595, bare=True)
        local = any(fnmatch.fnmatchcase(path, pattern) for pattern in _WITHOUT_QUORUM)
        if method != "GET" and not local and not self.quorate:
            raise Failure("cluster not ready - no quorum?")

    def check_storage(self, storage: str) -> None:
        """Raises `Failure` for a storage that is not available (PVE::Storage: activate_storage)."""
        if not self.storage_available(storage):
            raise Failure(f"storage '{storage}' is not online")

    def storage_available(self, storage: str) -> bool:
        return ("storage-down", storage) not in self._lasting

    @property
    def quorate(self) -> bool:
        """Whether the cluster may be written to."""
        return ("no-quorum", "") not in self._lasting

    @property
    def node_down(self) -> bool:
        """Whether the node is out of reach."""
        return ("node-down", "") in self._lasting

    def _fault(self, wanted: dict[str, Any]) -> Fault:
        names = {"match", "action", "status", "reason", "seconds", "times"}
        chosen = {name: value for name, value in wanted.items() if name in names}
        reason = {"disk-full": self._full, "fail-task": "injected fault", "warn-task": "injected fault"}
        chosen.setdefault("reason", reason.get(wanted["action"], "Connection timed out"))
        return Fault(**{"match": "*"} | chosen)

    def _plan(self, fault: Fault, *, first: bool) -> None:
        with self._lock:
            self._faults.insert(0 if first else len(self._faults), fault)

    def _count(self, fault: Fault) -> None:
        """A fault whose number of times is 0 from the start goes on until it is cleared."""
        if fault.times:
            fault.times -= 1
            self._faults = [other for other in self._faults if other is not fault or fault.times]

    def _set_lock(self, vmid: int, lock: str) -> None:
        config = self._configs.load(vmid)
        config.values.pop("lock", None)
        config.values.update({"lock": lock} if lock else {})
        self._configs.save(vmid, config)


def _words(header: str) -> dict[str, str]:
    """`action;name=value;…`, the values percent-encoded where they must be."""
    action, *others = (part.strip() for part in header.split(";"))
    named = (part.partition("=") for part in others if part)
    return {"action": action} | {name: unquote(value) for name, _, value in named}
