"""A VM of the check's own: made from the template, and removed whatever happened."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar
from uuid import uuid4

from proxmox import errors
from proxmox.driver import MARK, VM, Clone, Driver, Power, tags_of

TASK_SECONDS = 1800  # a full copy of a large disk on a slow storage
PAUSE_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)
# How long `patiently` asks again: 9.2's `qm cleanup` holds a VM's lock for up to 60 s (qemu-server: CLI/qm.pm).
LOCKED_SECONDS = 90

T = TypeVar("T")


def patiently(act: Callable[[], T]) -> T:
    """What `act` answers, asked again while the VM is locked. Raises `Transient` or `Busy` when that does not end."""
    deadline, pauses = time.monotonic() + LOCKED_SECONDS, iter(PAUSE_SECONDS)
    while True:
        try:
            return act()
        except (errors.Transient, errors.Busy):
            if time.monotonic() > deadline:
                raise
        time.sleep(next(pauses, PAUSE_SECONDS[-1]))


class Scratch:
    """The VM, from before it is asked for until it is gone."""

    def __init__(self, driver: Driver, source: VM, vmid: int, *, pool: str) -> None:
        self._driver = driver
        self._source = source
        self._pool = pool
        self._asked_at = 0.0
        self._cloning = ""  # the UPID of the clone, once it is known
        self.vm = VM(source.node, vmid, owner=str(uuid4()))

    def make(self) -> None:
        """Clone the template, and put our mark on the clone."""
        self._driver.ensure_pool(self._pool)
        self._asked_at = time.time()
        self._cloning = (
            self._driver.clone(
                Clone(
                    source=self._source,
                    snapshot="",
                    target=self.vm,
                    name=f"autovibe-check-{self.vm.vmid}",
                    description=f"Scratch VM of `manage.py proxmox check`; it may be destroyed.\n{self.vm.owner}",
                    pool=self._pool,
                )
            )
            or ""
        )
        self.wait(self._cloning)
        self._driver.configure(self.vm, {"tags": MARK})

    def wait(self, upid: str | None) -> None:
        """Wait until a task has ended. Raises what it ended with, or `UnknownOutcome` when it does not end."""
        result = self._result(upid)
        if result != "OK" and not result.startswith("WARNINGS"):
            raise errors.of_task(result, self._driver.task_log(upid) if upid else "")

    def _result(self, upid: str | None) -> str:
        if not upid:
            return "OK"
        deadline, pauses = time.monotonic() + TASK_SECONDS, iter(PAUSE_SECONDS)
        while time.monotonic() < deadline:
            (task,) = self._driver.tasks([upid])
            if task.result:
                return task.result
            time.sleep(next(pauses, PAUSE_SECONDS[-1]))
        raise errors.UnknownOutcome(f"The task {upid} has not ended within {TASK_SECONDS // 60} minutes.")

    def snapshot(self, name: str, description: str) -> None:
        """Take a snapshot of the VM."""
        patiently(lambda: self.wait(self._driver.snapshot(self.vm, name, description)))

    def remove(self) -> bool:
        """Destroy the VM if it was made, even half. False when there was nothing to destroy."""
        if not self._asked_at:
            return False
        with suppress(errors.ProxmoxError):  # how the clone ended does not matter any more, that it did does
            self._result(self._cloning or self._lost_clone())
        return patiently(self._remove)

    def _remove(self) -> bool:
        try:
            config = self._config()
        except errors.Missing:
            return False
        if self.vm.owner not in config.get("description", ""):
            return False
        if MARK not in tags_of(config.get("tags")):
            self._driver.configure(self.vm, {"tags": MARK})
        if self._driver.observe(self.vm).power != Power.STOPPED:
            self.wait(self._driver.stop(self.vm))
        self.wait(self._driver.destroy(self.vm))
        return True

    def _config(self) -> dict[str, str]:
        try:
            return self._driver.config(self.vm)
        except errors.Refused as refusal:  # it joins its pool, and is ours to read, at the end of the clone
            raise errors.Busy(str(refusal)) from None

    def _lost_clone(self) -> str:
        return self._driver.find_task(self._source.node, "qmclone", self._source.vmid, self._asked_at)
