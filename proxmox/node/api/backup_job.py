"""Backup jobs at work: one at a time per node, VM by VM, of the disk as it is now (pve-manager: PVE/VZDump.pm).

A VM is locked with `backup` while it is saved; a running guest goes on, or is off until its disk has been read.
"""

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxmox.node import archives, drives, retention
from proxmox.node.api.common import set_lock
from proxmox.node.api.prune import check_protected, prune
from proxmox.node.archives import Backup
from proxmox.node.configs import Config, Values
from proxmox.node.errors import Failure, Interrupted, WorkerKilled
from proxmox.node.host import Host
from proxmox.node.retention import Retention
from proxmox.node.tasks import Task

_KEEP = ("lock", "parent")  # not part of what a backup brings back


@dataclass(frozen=True, slots=True)
class Job:
    """What was asked for, with Proxmox's defaults."""

    user: str
    vmids: list[int]
    storage: str
    mode: str
    compress: str
    keep: Retention
    prunes: bool
    protected: bool
    notes: str
    bytes_per_second: int
    ionice: int
    stop_seconds: int


def run(host: Host, job: Job, line: str, wait_seconds: int, task: Task) -> None:
    """The work of a job's task; `line` is the command that would begin it. Raises `Failure`."""
    task.interruption = "interrupted by signal"
    if reason := _unusable(host, job.storage):
        raise Failure(f"could not get storage information for '{job.storage}': {reason}")
    try:
        with host.backup_lock.hold(wait_seconds, task):
            _back_up_all(host, job, line, task)
    except TimeoutError:
        raise WorkerKilled from None  # the worker exits there without a last line


def _unusable(host: Host, storage: str) -> str:
    """Why there can be no backups on a storage; empty when there can."""
    if storage not in host.storages:
        return f"storage '{storage}' does not exist"
    if not host.storages.get(storage).takes_backups:
        return f"can't use storage '{storage}' for backups - wrong content type"
    return "" if host.faults.storage_available(storage) else f"storage '{storage}' is not online"


def _back_up_all(host: Host, job: Job, line: str, task: Task) -> None:
    for vmid in job.vmids:
        if vmid in host.configs:
            host.permissions.check(job.user, f"/vms/{vmid}", "VM.Backup")
    task.log(f"INFO: starting new backup job: {line}")
    try:
        failed = [vmid for vmid in job.vmids if not _back_up(host, job, vmid, task)]
    except Interrupted as interrupted:
        task.log(f"ERROR: Backup job failed - {interrupted.text}")
        raise
    task.log(f"INFO: Backup job finished {'with errors' if failed else 'successfully'}")
    if failed:
        raise Failure("job errors")


def _back_up(host: Host, job: Job, vmid: int, task: Task) -> bool:
    """Save one VM; False when that failed, and the log says why."""
    began = time.monotonic()
    try:
        if vmid not in host.configs:
            raise Failure(f"unable to find VM '{vmid}'")
        _check_room(host, job, vmid)
        _save(host, job, vmid, task)
    except Failure as failure:
        task.log(f"ERROR: Backup of VM {vmid} failed - {failure.text}")
        task.log(f"INFO: Failed at {_now()}")
        if isinstance(failure, Interrupted):
            raise
        return False
    took = int(time.monotonic() - began)
    task.log(f"INFO: Finished Backup of VM {vmid} ({took // 3600:02}:{took // 60 % 60:02}:{took % 60:02})")
    task.log(f"INFO: Backup finished at {_now()}")
    return True


def _check_room(host: Host, job: Job, vmid: int) -> None:
    """Limits of how many backups a VM may have. Raises `Failure`."""
    limit = 0 if job.prunes else retention.limit(job.keep)
    present = archives.listing(host.dump(job.storage), job.storage)
    rows = [row for row in present if row["vmid"] == vmid]
    if job.protected:
        check_protected(host, job.user, job.storage, vmid)
    elif limit and sum("protected" not in row for row in rows) >= limit:
        raise Failure(
            f"There is a max backup limit of {limit} enforced by the target storage or the vzdump parameters."
            " Either increase the limit or delete old backups."
        )


def _save(host: Host, job: Job, vmid: int, task: Task) -> None:
    task.log(f"INFO: Starting Backup of VM {vmid} (qemu)")
    task.log(f"INFO: Backup started at {_now()}")
    task.log(f"INFO: status = {'stopped' if host.guests.power(vmid) == 'stopped' else 'running'}")
    config = set_lock(host, vmid, task, "backup")
    try:
        _write(host, job, vmid, config, task)
    except Exception as error:
        if isinstance(error, Interrupted):
            task.log(f"ERROR: {error.text}")
            task.log("INFO: aborting backup job")
        _unlock(host, vmid, task)
        raise
    _unlock(host, vmid, task)


def _unlock(host: Host, vmid: int, task: Task) -> None:
    """Not a place where a task can be interrupted; a lock that cannot be removed stays."""
    try:
        with host.locks.hold(vmid):
            config = host.configs.load(vmid)
            config.values.pop("lock", None)
            host.configs.save(vmid, config)
    except Failure as failure:
        task.log(failure.text)


def _write(host: Host, job: Job, vmid: int, config: Config, task: Task) -> None:
    running = host.guests.power(vmid) != "stopped"
    mode = job.mode if running else "stop"
    said = [f"INFO: backup mode: {mode}"]
    said += [f"INFO: bandwidth limit: {job.bytes_per_second // 1024} KiB/s"] if job.bytes_per_second else []
    said += [f"INFO: ionice priority: {job.ionice}"]
    contained = _contained(config)
    for line in (*contained, *said) if mode == "snapshot" else (*said, *contained):
        task.log(line)
    task.checkpoint()
    path = _unused_path(host, job, vmid)
    with _entries(host, job, vmid, config.values, mode if running else "", path, task) as backup:
        task.log(f"INFO: started backup task '{uuid.uuid4()}'")
        if running:
            task.log("INFO: resuming VM again")
        _archive(host, job, path, backup, task)
    _finish(host, job, path, vmid, config.values, task)


def _contained(config: Config) -> Iterator[str]:
    if name := config.values.get("name"):
        yield f"INFO: VM Name: {name}"
    for drive in drives.disks(config.values):
        size = f" {drives.size_text(drive.size_bytes)}" if drive.size_bytes else ""
        yield f"INFO: include disk '{drive.key}' '{drive.volume}'{size}"
    if config.snapshots:
        yield "INFO: snapshots found (not included into backup)"
    if config.pending:
        yield "INFO: pending configuration changes found (not included into backup)"


@contextmanager
def _entries(
    host: Host, job: Job, vmid: int, values: Values, mode: str, path: Path, task: Task
) -> Iterator[Backup]:
    """What there is to save, kept in the store meanwhile. A guest that had to end for it is on again by then."""
    if mode == "stop":
        task.log("INFO: stopping virtual guest")
        if not host.guests.shutdown(vmid, job.stop_seconds, task.checkpoint):
            raise Failure("command 'qm shutdown' failed: got timeout")
    task.log(f"INFO: creating vzdump archive '{host.storages.get(job.storage).path}/dump/{path.name}'")
    frozen = mode == "snapshot" and _freezes(host, vmid, values, task)
    try:
        with host.disks.contents(vmid, task.check_signals) as entries:
            if host.release.name != "8.4":
                task.log("INFO: starting backup via QMP command")
            if frozen:
                task.log("INFO: issuing guest-agent 'fs-thaw' command")
            _start_again(host, vmid, values, mode, task)
            kept = {key: value for key, value in values.items() if key not in _KEEP}
            yield Backup(kept, host.firewall.exported(vmid), entries)
    except Exception:
        _start_again(host, vmid, values, mode, task)
        raise


def _freezes(host: Host, vmid: int, values: Values, task: Task) -> bool:
    """What a real backup does before it reads a running guest's disk; ours holds all of the guest still for it."""
    if "agent" not in values:
        return False
    try:
        host.guests.ask(vmid, "ping")
    except Failure:
        what = "guest-agent 'fs-freeze'," if host.release.name == "8.4" else "guest filesystem freeze -"
        task.log(f"INFO: skipping {what} agent configured but not running?")
        return False
    task.log("INFO: issuing guest-agent 'fs-freeze' command")
    return True


def _start_again(host: Host, vmid: int, values: Values, mode: str, task: Task) -> None:
    if mode == "stop" and host.guests.power(vmid) == "stopped":
        task.log("INFO: starting kvm to execute backup task")
        host.guests.start(vmid, str(values.get("name", f"VM{vmid}")))


def _archive(host: Host, job: Job, path: Path, backup: Backup, task: Task) -> None:
    began, total = time.monotonic(), 0

    def spend(size: int) -> None:
        nonlocal total
        total += size
        task.checkpoint()
        if job.bytes_per_second:
            task.pause(max(0.0, total / job.bytes_per_second - (time.monotonic() - began)))

    archives.write(path, backup, host.store, spend)
    task.log(f"INFO: transferred {total / 1024**2:.2f} MiB in {time.monotonic() - began:.0f} seconds")
    task.log(f"INFO: archive file size: {_size(path.stat().st_size)}")


def _finish(host: Host, job: Job, path: Path, vmid: int, values: Values, task: Task) -> None:
    """Notes, protection, and pruning, in this order: a protected backup is not pruned."""
    if job.notes:
        task.log("INFO: adding notes to backup")
        archives.set_notes(path, _notes(host, job.notes, vmid, values))
    if job.protected:
        task.log("INFO: marking backup as protected")
        archives.protect(path, True)
    if job.prunes:
        kept = ", ".join(f"{name}={count}" for name, count in sorted(job.keep.items()))
        task.log(f"INFO: prune older backups with retention: {kept}")
        count = prune(host, job.storage, job.keep, vmid, lambda line: task.log(f"INFO: {line}"))
        task.log(f"INFO: pruned {count} backup(s){' not covered by keep-retention policy' if count else ''}")


def _unused_path(host: Host, job: Job, vmid: int) -> Path:
    """Names have a resolution of a second."""
    at = time.time()
    if job.compress == "lzo":
        raise Failure("lzop: command not found")
    while (path := archives.new_path(host.dump(job.storage), vmid, at, job.compress)).exists():
        at += 1
    return path


def _notes(host: Host, template: str, vmid: int, values: Values) -> str:
    text = re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], template)
    known: dict[str, Any] = {"cluster": "standalone node", "node": host.name, "vmid": vmid}
    known["guestname"] = values.get("name", f"VM {vmid}")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: str(known.get(match[1], match[0])), text)


def _size(size: int) -> str:
    """As PVE::VZDump::format_size has it."""
    if size < 1024**2:
        return f"{size // 1024}KB"
    return f"{size // 1024**2}MB" if size < 1024**3 else f"{size / 1024**3:.2f}GB"


def _now() -> str:
    return time.strftime("%F %H:%M:%S")
