"""Whether the cluster can decide, which nodes are there, and whether our pool and our VMIDs are."""

from collections.abc import Iterator

from proxmox import errors
from proxmox.diagnosis.case import Case
from proxmox.diagnosis.findings import Finding, listed, missing, ok, plural, unknown, warning
from proxmox.diagnosis.roles import held
from proxmox.driver import MARK, Observed

NAMED_VMS_MAX = 5


def quorum(case: Case) -> Iterator[Finding]:
    try:
        decides = case.driver.quorate()
    except errors.Refused:
        yield unknown("Quorum", "The token may not ask: that takes Sys.Audit on /.")
        return
    if decides:
        yield ok("Quorum", "The cluster can decide.")
    else:
        yield missing(
            "Quorum",
            "The cluster has lost its quorum: nothing can be changed until enough nodes are back.",
            "pvecm status",
            "systemctl status corosync pve-cluster",
        )


def nodes(case: Case) -> Iterator[Finding]:
    known = case.driver.nodes()
    away = [node.name for node in known if not node.online]
    there = [node.name for node in known if node.online]
    if away:
        also = f" Online: {', '.join(there)}." if there else ""
        yield warning(
            "Nodes",
            f"{listed(away)} {'is' if len(away) == 1 else 'are'} offline; machines there are out of reach.{also}",
            "pvecm nodes",
        )
    else:
        yield ok("Nodes", f"{plural(len(there), 'node')} online: {', '.join(there)}.")


def pool(case: Case) -> Iterator[Finding]:
    name, title = case.setup.pool, f"Pool {case.setup.pool}"
    if name in case.pools:
        yield ok(title, "It is there; our VMs go into it.")
    elif "Pool.Allocate" in _on_pool(case):
        yield warning(title, "It is not there; the first machine will make it.", f"pveum pool add {name}")
    elif "Pool.Audit" in _on_pool(case):
        yield missing(title, "It is not there, and the token may not make it.", f"pveum pool add {name}")
    else:
        yield missing(
            title,
            "It is not there, or the token may not see it (that takes Pool.Audit on it).",
            f"pveum pool add {name}",
        )


def _on_pool(case: Case) -> frozenset[str]:
    return held(case.permissions, f"/pool/{case.setup.pool}")


def _is_marked(case: Case, vm: Observed) -> bool:
    """In our pool with our tag. The tag alone may have come with a clone that somebody made of the template."""
    return MARK in vm.tags and vm.pool == case.setup.pool


def vmids(case: Case) -> Iterator[Finding]:
    span = case.setup.vmids
    title = f"VMIDs {span.start}–{span.stop - 1}"
    foreign = [
        vm
        for vmid, vm in sorted(case.inventory.items())
        if vmid in span and vmid not in {*case.setup.known, case.setup.template} and not _is_marked(case, vm)
    ]
    if not foreign:
        yield ok(title, "No VM of anybody else that the token can see is in our range.")
        return
    named = [f"{vm.vmid} ({vm.name})" if vm.name else str(vm.vmid) for vm in foreign[:NAMED_VMS_MAX]]
    more = f" and {len(foreign) - len(named)} more" if len(foreign) > len(named) else ""
    yield warning(
        title,
        f"{plural(len(foreign), 'VM')} of somebody else in our range: {', '.join(named)}{more}. "
        "They are left alone, and a machine that gets such a number fails.",
        f"PROXMOX_VMID_FIRST={foreign[-1].vmid + 1}",
    )
