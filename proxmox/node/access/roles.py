"""Privileges and built-in roles, by release, as Proxmox lists them (pve-access-control: AccessControl.pm)."""

from collections.abc import Mapping

_AUDITS = frozenset({"Datastore.Audit", "Mapping.Audit", "Pool.Audit", "SDN.Audit", "Sys.Audit", "VM.Audit"})
_COMMON = _AUDITS | {
    *("Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.AllocateTemplate"),
    *("Group.Allocate", "Mapping.Modify", "Mapping.Use", "Permissions.Modify", "Pool.Allocate"),
    *("Realm.Allocate", "Realm.AllocateUser", "SDN.Allocate", "SDN.Use", "User.Modify"),
    *("Sys.AccessNetwork", "Sys.Console", "Sys.Incoming", "Sys.Modify", "Sys.PowerMgmt", "Sys.Syslog"),
    *("VM.Allocate", "VM.Backup", "VM.Clone", "VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Cloudinit"),
    *("VM.Config.Disk", "VM.Config.HWType", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options"),
    *("VM.Console", "VM.Migrate", "VM.PowerMgmt", "VM.Snapshot", "VM.Snapshot.Rollback"),
}
_AGENT = frozenset({f"VM.GuestAgent.{name}" for name in ("Audit", "FileRead", "FileSystemMgmt", "FileWrite")})
PRIVILEGES: Mapping[str, frozenset[str]] = {
    "8.4": _COMMON | {"VM.Monitor"},
    "9.2": _COMMON | _AGENT | {"VM.GuestAgent.Unrestricted", "VM.Replicate"},
}
# What of everything PVEAdmin has not.
_FOR_ADMINISTRATORS = frozenset(
    {
        *("Mapping.Modify", "Permissions.Modify", "Realm.Allocate"),
        *("Sys.AccessNetwork", "Sys.Incoming", "Sys.Modify", "Sys.PowerMgmt"),
    }
)


def built_in(release: str) -> dict[str, frozenset[str]]:
    """The roles that every installation of a release has."""
    everything = PRIVILEGES[release]

    def of(prefix: str) -> frozenset[str]:
        return frozenset(privilege for privilege in everything if privilege.startswith(prefix))

    user = {"VM.Audit", "VM.Backup", "VM.Config.CDROM", "VM.Config.Cloudinit", "VM.Console", "VM.PowerMgmt"}
    return {
        "Administrator": everything,
        "NoAccess": frozenset(),
        "PVEAdmin": everything - _FOR_ADMINISTRATORS,
        "PVEAuditor": frozenset(privilege for privilege in everything if privilege.endswith(".Audit")),
        "PVEDatastoreAdmin": of("Datastore."),
        "PVEDatastoreUser": frozenset({"Datastore.AllocateSpace", "Datastore.Audit"}),
        "PVEMappingAdmin": of("Mapping."),
        "PVEMappingUser": frozenset({"Mapping.Audit", "Mapping.Use"}),
        "PVEPoolAdmin": of("Pool."),
        "PVEPoolUser": frozenset({"Pool.Audit"}),
        "PVESDNAdmin": of("SDN."),
        "PVESDNUser": frozenset({"SDN.Audit", "SDN.Use"}),
        "PVESysAdmin": frozenset({"Sys.Audit", "Sys.Console", "Sys.Syslog"}),
        "PVETemplateUser": frozenset({"VM.Audit", "VM.Clone"}),
        "PVEUserAdmin": frozenset({"Group.Allocate", "Realm.AllocateUser", "User.Modify"}),
        "PVEVMAdmin": of("VM."),
        "PVEVMUser": frozenset(user) | (_AGENT & everything),
    }
