"""The least that autovibe's token must be allowed, as data, and the commands that allow it.

Sources: the `permissions` of each method in the API schemas of 8.4 and 9.2, and pve-access-control: AccessControl.pm.
"""

from dataclasses import dataclass

AGENT, AUDIT = "AutovibeAgent", "AutovibeAudit"  # roles of ours; the others come with Proxmox

_GUESTS = frozenset(
    {
        *("Pool.Audit", "VM.Allocate", "VM.Audit", "VM.Backup", "VM.Clone", "VM.Console", "VM.PowerMgmt"),
        *("VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Cloudinit", "VM.Config.Disk", "VM.Config.HWType"),
        *("VM.Config.Memory", "VM.Config.Network", "VM.Config.Options"),
        *("VM.Snapshot", "VM.Snapshot.Rollback"),
    }
)
# 9.0 replaced VM.Monitor, and refuses roles that name it. Unrestricted covers every call of the guest agent.
_GUEST_AGENT = {8: "VM.Monitor", 9: "VM.GuestAgent.Unrestricted"}


@dataclass(frozen=True, slots=True)
class Need:
    """Privileges on one path. `without` says what cannot be done otherwise; what is not `essential` only warns."""

    path: str
    privileges: frozenset[str]
    role: str
    without: str
    essential: bool = True


def guests(release: int) -> frozenset[str]:
    """What is needed on the pool of our VMs, in that major version."""
    return _GUESTS | {_GUEST_AGENT[8 if release < 9 else 9]}


def on_pool(pool: str, release: int) -> Need:
    return Need(f"/pool/{pool}", guests(release), AGENT, "machines cannot be made and looked after")


def on_template(vmid: int) -> Need:
    needed = frozenset({"VM.Audit", "VM.Clone"})
    return Need(f"/vms/{vmid}", needed, "PVETemplateUser", "nothing can be cloned from the template")


def on_storage(name: str) -> Need:
    needed = frozenset({"Datastore.Audit", "Datastore.AllocateSpace"})
    return Need(f"/storage/{name}", needed, "PVEDatastoreUser", "disks cannot be made there")


def on_backups(name: str) -> Need:
    needed = frozenset({"Datastore.Audit", "Datastore.AllocateSpace"})
    without = "checkpoints cannot be backed up there"
    return Need(f"/storage/{name}", needed, "PVEDatastoreUser", without, essential=False)


def on_bridge(name: str) -> Need:
    """Plain bridges are in the zone `localnetwork` (pve-guest-common: check_vnet_access)."""
    path = f"/sdn/zones/localnetwork/{name}"
    return Need(path, frozenset({"SDN.Use"}), "PVESDNUser", "clones cannot be attached to that bridge")


def on_cluster() -> Need:
    without = "quorum and firewall cannot be read, so the network profile `sealed` cannot be proven"
    return Need("/", frozenset({"Sys.Audit"}), AUDIT, without, essential=False)


def grant(need: Need, *, user: str, token_id: str) -> tuple[str, ...]:
    """The commands for a node's shell. User and token both get the role: with privilege separation both need it."""
    allow = f"pveum acl modify {need.path} --roles {need.role} --users {user} --tokens '{token_id}'"
    if need.role not in {AGENT, AUDIT}:
        return (allow,)
    role = f'{need.role} --privs "{" ".join(sorted(need.privileges))}"'
    return f"pveum role add {role} || pveum role modify {role}", allow


def held(permissions: dict[str, frozenset[str]], path: str) -> frozenset[str]:
    """The privileges on a path, given those on the paths that `/access/permissions` lists.

    It lists every path that has an entry of its own, and the first level always: what is not there inherits.
    """
    while path not in permissions and path.count("/") > 1:
        path = path.rpartition("/")[0]
    return permissions.get(path, frozenset())
