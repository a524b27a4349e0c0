"""Images that a guest's disk can be made of: tar archives of its files, plain or compressed with gzip, xz or zstd.

Anything else (qcow2, raw, vmdk) holds a file system, which this node cannot read.
"""

import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import zstandard

from proxmox.node.errors import Failure

_ZSTD = b"\x28\xb5\x2f\xfd"


def unpack(image: Path, disk: Path, tick: Callable[[], None]) -> None:
    """Make a disk of an image. Raises `Failure`."""
    disk.mkdir(parents=True, exist_ok=True)
    try:
        with _opened(image) as tar:
            for member in tar:
                tick()
                if not (member.ischr() or member.isblk() or member.isfifo()):
                    _extract(tar, member, disk)
    except (tarfile.TarError, zstandard.ZstdError, EOFError, OSError) as error:
        raise Failure(
            f"the embedded node imports tar archives of a guest's files only, and '{image.name}' is none: {error}"
        ) from None


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, disk: Path) -> None:
    """One member. Owners are kept where this process may set them."""
    tar.extract(member, disk, numeric_owner=True, filter=_inside)
    if os.geteuid() == 0 and not member.islnk():
        os.chown(disk / member.name.lstrip("/"), member.uid, member.gid, follow_symlinks=False)
        if not member.issym():
            os.chmod(disk / member.name.lstrip("/"), member.mode)  # a change of owner drops set-user-id


def _inside(member: tarfile.TarInfo, disk: str) -> tarfile.TarInfo:
    """A member as it is, refused when it or what it is a hard link to is not on the disk."""
    checked = tarfile.tar_filter(member, disk)
    if member.islnk():
        root, target = os.path.realpath(disk), os.path.realpath(os.path.join(disk, member.linkname))
        if os.path.commonpath((root, target)) != root:
            raise tarfile.LinkOutsideDestinationError(member, target)
    return checked.replace(mode=member.mode, deep=False)


@contextmanager
def _opened(image: Path) -> Iterator[tarfile.TarFile]:
    with image.open("rb") as file:
        if file.read(4) != _ZSTD:
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:*") as tar:
                yield tar
            return
        file.seek(0)
        plain = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        with plain, tarfile.open(fileobj=cast(IO[bytes], plain), mode="r|") as tar:
            yield tar
