"""The check: every question in the order in which answers depend on each other."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from proxmox import errors
from proxmox.diagnosis import cluster, connection, network, rights, storages, template
from proxmox.diagnosis.case import Case
from proxmox.diagnosis.findings import Finding, Report, Status, missing, unknown
from proxmox.diagnosis.setup import Setup

Look = Callable[[Case], Iterator[Finding]]

# Without these nothing else can be asked.
FIRST: tuple[Look, ...] = (connection.endpoints, connection.token, connection.version)
SECTIONS: dict[str, tuple[Look, ...]] = {
    "Cluster": (cluster.quorum, cluster.nodes, cluster.pool, cluster.vmids),
    "Template": (template.template, storages.branching),
    "Storages": (storages.storages,),
    "Rights": (rights.privileges,),
    "Network": (network.firewall, network.gateway),
}


def diagnose(setup: Setup) -> Report:
    """Look at everything. Raises nothing of Proxmox's: what could not be asked is a finding."""
    try:
        case = Case(setup)
    except errors.Refused as error:
        return Report((replace(missing("Settings", str(error)), section="Connection"),))
    return Report(tuple(_findings(case)))


def _findings(case: Case) -> Iterator[Finding]:
    for look in FIRST:
        found = list(_looked(case, "Connection", look))
        yield from found
        if all(finding.status in {Status.MISSING, Status.UNKNOWN} for finding in found):
            yield replace(
                unknown("Everything else", "It was not looked at: Proxmox could not be asked."),
                section="Connection",
            )
            return
    for section, looks in SECTIONS.items():
        for look in looks:
            yield from _looked(case, section, look)


def _looked(case: Case, section: str, look: Look) -> Iterator[Finding]:
    try:
        for finding in look(case):
            yield replace(finding, section=section)
    except errors.ProxmoxError as error:
        yield replace(unknown(look.__name__.capitalize(), f"It could not be asked: {error}"), section=section)
