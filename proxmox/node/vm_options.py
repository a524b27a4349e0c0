"""The configuration options of a VM as a schema, and which of them a running VM takes over at once.

Distilled from the API schema of Proxmox VE 9.2 (POST /nodes/{node}/qemu).
"""

from proxmox.node.schema import Parameter, Schema

_FLAG = Parameter("boolean")
_TEXT = Parameter()
_DRIVE = Parameter(format="drive")
_COUNT = Parameter("integer", minimum=0)
_POSITIVE = Parameter("integer", minimum=1)

OPTIONS: Schema = {
    "acpi": _FLAG,
    "affinity": _TEXT,
    "allow-ksm": _FLAG,
    "amd-sev": _TEXT,
    "agent": _TEXT,
    "args": _TEXT,
    "arch": Parameter(enum=("x86_64", "aarch64")),
    "audio0": _TEXT,
    "autostart": _FLAG,
    "balloon": _COUNT,
    "bios": Parameter(enum=("seabios", "ovmf")),
    "boot": _TEXT,
    "bootdisk": Parameter(pattern=r"(ide|sata|scsi|virtio)\d+"),
    "cdrom": _DRIVE,
    "cicustom": _TEXT,
    "cipassword": _TEXT,
    "citype": Parameter(enum=("configdrive2", "nocloud", "opennebula")),
    "ciupgrade": _FLAG,
    "ciuser": _TEXT,
    "cores": _POSITIVE,
    "cpu": _TEXT,
    "cpulimit": Parameter("number", minimum=0, maximum=128),
    "cpuunits": Parameter("integer", minimum=1, maximum=262144),
    "description": Parameter(max_length=8192),
    "efidisk0": _DRIVE,
    "freeze": _FLAG,
    "hookscript": _TEXT,
    "hostpci[n]": _TEXT,
    "hotplug": _TEXT,
    "hugepages": Parameter(enum=("any", "2", "1024")),
    "ide[n]": _DRIVE,
    "ipconfig[n]": _TEXT,
    "intel-tdx": _TEXT,
    "ivshmem": _TEXT,
    "keephugepages": _FLAG,
    "keyboard": _TEXT,
    "kvm": _FLAG,
    "localtime": _FLAG,
    "lock": Parameter(
        enum=(
            *("backup", "clone", "create", "migrate", "rollback", "snapshot", "snapshot-delete"),
            *("suspending", "suspended"),
        )
    ),
    "machine": _TEXT,
    "memory": Parameter(format="memory"),
    "migrate_downtime": Parameter("number", minimum=0),
    "migrate_speed": _COUNT,
    "name": Parameter(format="dns-name"),
    "nameserver": _TEXT,
    "net[n]": Parameter(format="net"),
    "numa": _FLAG,
    "numa[n]": _TEXT,
    "onboot": _FLAG,
    "ostype": Parameter(
        enum=(
            *(
                "other",
                "wxp",
                "w2k",
                "w2k3",
                "w2k8",
                "wvista",
                "win7",
                "win8",
                "win10",
                "win11",
                "l24",
                "l26",
            ),
            "solaris",
        )
    ),
    "parallel[n]": Parameter(pattern=r"/dev/parport\d+|/dev/usb/lp\d+"),
    "protection": _FLAG,
    "reboot": _FLAG,
    "rng0": _TEXT,
    "sata[n]": _DRIVE,
    "scsi[n]": _DRIVE,
    "scsihw": Parameter(
        enum=("lsi", "lsi53c810", "virtio-scsi-pci", "virtio-scsi-single", "megasas", "pvscsi")
    ),
    "searchdomain": _TEXT,
    "serial[n]": Parameter(pattern=r"(/dev/.+|socket)"),
    "shares": Parameter("integer", minimum=0, maximum=50000),
    "smbios1": Parameter(max_length=512),
    "smp": _POSITIVE,
    "sockets": _POSITIVE,
    "spice_enhancements": _TEXT,
    "sshkeys": Parameter(format="urlencoded"),
    "startdate": Parameter(pattern=r"(now|\d{4}-\d{1,2}-\d{1,2}(T\d{1,2}:\d{1,2}:\d{1,2})?)"),
    "startup": _TEXT,
    "tablet": _FLAG,
    "tags": Parameter(format="pve-tag-list"),
    "tdf": _FLAG,
    "template": _FLAG,
    "tpmstate0": _DRIVE,
    "unused[n]": _TEXT,
    "usb[n]": _TEXT,
    "vcpus": _POSITIVE,
    "vga": _TEXT,
    "virtio[n]": _DRIVE,
    "virtiofs[n]": _TEXT,
    "vmgenid": Parameter(pattern=r"(?:[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}|[01])"),
    "vmstatestorage": Parameter(format="pve-storage-id"),
    "watchdog": _TEXT,
}

# Everything else waits for the next cold start of a running VM.
AT_ONCE = (
    *("name", "description", "tags", "onboot", "protection", "shares", "startup", "vmstatestorage"),
    *("autostart", "cpulimit", "cpuunits", "ciuser", "cipassword", "sshkeys", "nameserver", "searchdomain"),
)
AT_ONCE_PREFIXES = ("net", "scsi", "virtio", "sata", "ide", "unused", "ipconfig")


def is_known(name: str) -> bool:
    """Whether a VM's configuration can have the key."""
    return name in OPTIONS or f"{name.rstrip('0123456789')}[n]" in OPTIONS
