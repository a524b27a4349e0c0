"""What a VM's options need, each its own privilege (qemu-server: PVE/API2/Qemu.pm)."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proxmox.node import drives
from proxmox.node.access.accounts import ROOT
from proxmox.node.access.volumes import check_volume
from proxmox.node.errors import Failure
from proxmox.node.routes import Call
from proxmox.node.vm_options import is_known

if TYPE_CHECKING:
    from proxmox.node.host import Host

# Whatever is in none of these is root's: args, lock, hookscript, arch, affinity, vmgenid.
_OF_PRIVILEGE = {
    "VM.Config.CPU": ("cores", "cpu", "cpulimit", "cpuunits", "numa", "smp", "sockets", "vcpus"),
    "VM.Config.Memory": ("allow-ksm", "balloon", "memory", "shares"),
    "VM.Config.HWType": (
        *("acpi", "audio0", "hotplug", "kvm", "machine", "rng0", "scsihw", "smbios1", "tablet", "vga"),
        "watchdog",
    ),
    "VM.Config.Options": (
        *("agent", "autostart", "bios", "description", "keyboard", "localtime", "migrate_downtime"),
        *("migrate_speed", "name", "onboot", "ostype", "protection", "reboot", "startdate", "startup", "tdf"),
        "template",
    ),
    "VM.PowerMgmt": ("freeze",),
    "VM.Config.Disk": ("boot", "bootdisk", "vmstatestorage"),
}
_PRIVILEGE = {option: privilege for privilege, options in _OF_PRIVILEGE.items() for option in options}
_CLOUD_INIT = frozenset(
    {"cicustom", "cipassword", "citype", "ciupgrade", "ciuser", "nameserver", "searchdomain", "sshkeys"}
)
_NO_OPTIONS = frozenset(
    {
        *("node", "vmid", "digest", "delete", "revert", "force", "skiplock", "background_delay", "pool"),
        *("start", "storage", "archive", "unique", "bwlimit", "live-restore", "import-working-storage"),
    }
)


def check_options(host: "Host", call: Call, pool: str) -> None:
    """Everything that a new or changed VM is given. Raises `Failure` (mostly 403)."""
    options = {name: value for name, value in call.parameters.items() if name not in _NO_OPTIONS}
    for name, value in options.items():
        _check_drive_source(host, call, name, str(value))
    for name, value in options.items():
        check_option(host, call, pool, name, str(value))
    check_bridges(host, call.user, options)


def check_new_tags(host: "Host", who: str, vmid: int, options: Mapping[str, Any]) -> None:
    """Tags of a VM that is being made are asked about in its task, when it is in no pool yet. Raises `Failure`."""
    if who == ROOT or "tags" not in options or not host.release.checks_new_tags:
        return
    try:
        host.permissions.check(who, f"/vms/{vmid}", "VM.Config.Options")
    except Failure as failure:
        raise Failure(f"unable to create VM {vmid} - {failure}") from None


def check_option(host: "Host", call: Call, pool: str, name: str, value: str = "") -> None:
    """One option that is set, or deleted (without a `value`). Raises `Failure`."""
    stem = name.rstrip("0123456789")
    if drives.is_key(name) or stem == "unused" or name == "cdrom":
        check_vm(host, call, pool, *_of_drive(name, value))
    elif privilege := _PRIVILEGE.get(name) or {"net": "VM.Config.Network", "numa": "VM.Config.CPU"}.get(stem):
        check_vm(host, call, pool, privilege)
        if name == "startup":
            host.permissions.check(call.user, "/", "Sys.Modify")
    elif name in _CLOUD_INIT or stem == "ipconfig":
        _check_vm_any(host, call, pool, "VM.Config.Cloudinit", "VM.Config.Network")
    elif name != "tags" and is_known(name):
        _check_device(host, call, pool, name, value)


def _check_device(host: "Host", call: Call, pool: str, name: str, value: str) -> None:
    """Devices of the host itself are root's; so is whatever is not known here."""
    stem = name.rstrip("0123456789")
    if stem == "hostpci" and "mapping=" not in value:
        raise Failure(f"only root can set '{name}' config for non-mapped devices")
    if stem in {"serial", "usb"} and value not in {"", "socket"} and "spice" not in value:
        raise Failure(f"only root can set '{name}' config for real devices")
    if stem not in {"hostpci", "serial", "usb", "parallel"}:
        raise Failure(f"only root can set '{name}' config")
    check_vm(host, call, pool, "VM.Config.HWType")


def _of_drive(name: str, value: str) -> tuple[str, ...]:
    if value.partition(",")[0].endswith(":cloudinit"):
        return ("VM.Config.Cloudinit", "VM.Config.CDROM")
    return ("VM.Config.CDROM",) if "media=cdrom" in value or name == "cdrom" else ("VM.Config.Disk",)


def _check_drive_source(host: "Host", call: Call, name: str, value: str) -> None:
    """Room for a new disk; the right to a volume that is there."""
    if not drives.is_key(name):
        return
    drive = drives.parse(name, value)
    storage, _, volume = drive.volume.partition(":")
    if re.fullmatch(r"\d+(\.\d+)?", volume):
        host.permissions.check(call.user, f"/storage/{storage}", "Datastore.AllocateSpace")
    elif volume and volume != "cloudinit":
        check_volume(host, call.user, drive.volume, vmid=call.vmid)
    for option in drive.options:
        if option.startswith("import-from=") and ":" in option:
            check_volume(host, call.user, option.removeprefix("import-from="))


def check_bridges(host: "Host", who: str, values: Mapping[str, Any]) -> None:
    """Without zones of its own a node's bridges are in `localnetwork`; a tag is a path of its own."""
    for name in sorted(values):
        if re.fullmatch(r"net\d+", name):
            parts = dict(part.partition("=")[::2] for part in str(values[name]).split(","))
            path = f"/sdn/zones/localnetwork/{parts.get('bridge', '')}"
            path += f"/{parts['tag']}" if "tag" in parts else ""
            if "bridge" in parts:
                host.permissions.check(who, path, "SDN.Use")


def check_vm(host: "Host", call: Call, pool: str, *privileges: str) -> None:
    """Privileges on the VM or, while it is made, on the pool that it will be in."""
    if not (pool and host.permissions.allows(call.user, f"/pool/{pool}", *privileges)):
        host.permissions.check(call.user, f"/vms/{call.vmid}", *privileges)


def _check_vm_any(host: "Host", call: Call, pool: str, *privileges: str) -> None:
    if not (pool and host.permissions.allows_any(call.user, f"/pool/{pool}", *privileges)):
        host.permissions.check_any(call.user, f"/vms/{call.vmid}", *privileges)
