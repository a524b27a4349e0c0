"""Locks on VMs: whether live work holds them, and what an operator does about those that a dead task left."""

from guests.models import Guest
from proxmox import errors
from proxmox.connect import driver


def blocked(*guests: Guest) -> str:
    """What an operator has to do about a lock that no task holds any more; "" while there is none such."""
    return next(filter(None, map(_blocked, guests)), "")


def _blocked(guest: Guest) -> str:
    try:
        lock = driver().config(guest.vm).get("lock", "")
    except errors.Missing:
        return ""
    if not lock or driver().running_task(guest.vm, lock):
        return ""
    return unlocking(guest, lock, surely=driver().sees_all_tasks(guest.node))


def unlocking(guest: Guest, lock: str, *, surely: bool) -> str:
    """How a lock is removed that a dead task has left: no API token may (qemu-server: "only root can set 'lock'").

    `surely`: that no task holds it. A token without `Sys.Audit` sees its own tasks only.
    """
    if lock in {"clone", "create"}:
        return half_made(guest)
    proof = (
        "no task works on it. On"
        if surely
        else "no task of ours works on it. If nobody else's does (see its task list in Proxmox), on"
    )
    return f"VM {guest.vmid} is locked ({lock}) and {proof} node {guest.node} run: qm unlock {guest.vmid}"


def half_made(guest: Guest) -> str:
    """How a VM is removed whose clone or restore died on the way."""
    return (
        f"VM {guest.vmid} is half made and locked. On node {guest.node} run: "
        f"qm unlock {guest.vmid} && qm destroy {guest.vmid}"
    )
