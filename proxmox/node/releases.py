"""The releases of Proxmox VE whose answers the node can give, and in what small things they differ."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Release:
    name: str  # as /version has it
    version: str
    lookup_failure: str  # what the resolver says of an unknown node
    network_type: str  # how /cluster/resources calls what SDN made
    checks_lock_first: bool  # a locked VM is refused before its configuration file's lock is waited for
    warns_of_lost_storage: bool  # a VM on a storage that is gone can be destroyed
    machine: str  # the type of machine that QEMU emulates
    tells_more: bool  # logs of snapshots and of moved disks say what is done to the volumes
    freezing: tuple[str, str]  # what the log of a running VM's clone says of its file systems
    tells_host_memory: bool  # `memhost`, and the pressure of the VM's processes
    checks_new_tags: (
        bool  # to make a VM with tags takes a right on the VM itself; one on its pool will not do
    )


RELEASES = {
    "8.4": Release(
        name="8.4",
        version="8.4.21",
        lookup_failure="Name or service not known",
        network_type="sdn",
        checks_lock_first=False,
        warns_of_lost_storage=False,
        machine="pc-i440fx-10.0+pve0",
        tells_more=False,
        freezing=("freeze filesystem", "unfreeze filesystem"),
        tells_host_memory=False,
        checks_new_tags=False,
    ),
    "9.2": Release(
        name="9.2",
        version="9.2.11",
        lookup_failure="Temporary failure in name resolution",
        network_type="network",
        checks_lock_first=True,
        warns_of_lost_storage=True,
        machine="pc-i440fx-10.0+pve1",
        tells_more=True,
        freezing=(
            "issuing guest agent 'guest-fsfreeze-freeze' command",
            "issuing guest agent 'guest-fsfreeze-thaw' command",
        ),
        tells_host_memory=True,
        checks_new_tags=True,
    ),
}
