"""Disks as they stand in a VM's configuration: `scsi0: local-lvm:vm-100-disk-0,size=4G`."""

import math
import re
from dataclasses import dataclass

from proxmox.node.configs import Values
from proxmox.node.errors import Failure

_KEY = re.compile(r"(?:ide[0-3]|sata[0-5]|scsi(?:[12]?\d|30)|virtio(?:1[0-5]|\d)|efidisk0|tpmstate0)")
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


@dataclass(frozen=True, slots=True)
class Drive:
    key: str
    volume: str
    options: tuple[str, ...]  # as written, without the volume and the size
    size_bytes: int

    def __str__(self) -> str:
        size = (f"size={size_text(self.size_bytes)}",) if self.size_bytes else ()
        return ",".join((self.volume, *self.options, *size))


def is_key(key: str) -> bool:
    """Whether a configuration key names a drive."""
    return bool(_KEY.fullmatch(key))


def parse(key: str, text: str) -> Drive:
    """A drive from its text."""
    first, *options = text.split(",")
    sizes = [option.removeprefix("size=") for option in options if option.startswith("size=")]
    others = tuple(option for option in options if not option.startswith("size="))
    return Drive(key, first.removeprefix("file="), others, size_bytes(sizes[0]) if sizes else 0)


def disks(values: Values) -> list[Drive]:
    """The disks of a VM; CD-ROM drives are none."""
    drives = [parse(key, str(text)) for key, text in values.items() if is_key(key)]
    return [
        drive
        for drive in drives
        if "media=cdrom" not in drive.options and drive.volume not in {"none", "cdrom"}
    ]


def volumes(values: Values) -> list[Drive]:
    """Everything of a VM that takes room on a storage: disks, and those it no longer uses."""
    unused = (parse(key, str(text)) for key, text in values.items() if key.startswith("unused"))
    drives = [*disks({key: text for key, text in values.items() if text}), *unused]
    return [drive for drive in drives if ":" in drive.volume]


def first(values: Values) -> Drive | None:
    """The disk that the guest's files are on: the first of the boot order, else the first there is."""
    found = {drive.key: drive for drive in disks(values)}
    order = str(values.get("boot", "")).removeprefix("order=").split(";")
    return next((found[key] for key in (*order, *sorted(found)) if key in found), None)


def capacity(values: Values) -> int:
    """Bytes that all disks of a VM have together."""
    return sum(drive.size_bytes for drive in disks(values))


def size_bytes(text: str) -> int:
    """Bytes of `4G`, `512M`, `1.5T`, `4096`. Raises `Failure`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text)
    if not match:
        raise Failure(f"unable to parse size '{text}'")
    return math.ceil(float(match[1]) * _UNITS[match[2]])


def size_text(size: int) -> str:
    """The shortest exact way to write a size, as Proxmox does."""
    for unit in ("T", "G", "M", "K"):
        if size >= _UNITS[unit] and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)
