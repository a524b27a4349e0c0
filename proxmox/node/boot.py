"""What an operating system puts on its own disk while it boots: directories, an identity, a name.

The node writes it from outside the guest, so it never follows a link that the guest has made: that link may lead
to this computer's own files.
"""

import os
import shutil
import uuid
from pathlib import Path

_DIRECTORIES = (
    "workspace",
    "root",
    "home",
    "opt/autovibe",
    "var/lib/autovibe",
    "var/log",
    "var/tmp",
    "etc",
    "run",
)
_HOSTNAME_LIMIT = 64  # characters, the kernel's


def prepare(disk: Path, name: str) -> str:
    """Make a disk ready to boot; the name the guest has. /run does not survive a boot."""
    disk.mkdir(parents=True, exist_ok=True)
    if run := _own(disk, "run"):
        shutil.rmtree(run, ignore_errors=True)
    for directory in filter(None, (_own(disk, name) for name in _DIRECTORIES)):
        directory.mkdir(parents=True, exist_ok=True)
    if temporary := _own(disk, "tmp"):
        temporary.mkdir(exist_ok=True)
        temporary.chmod(0o1777)
    _once(disk, "etc/machine-id", uuid.uuid4().hex)
    return _once(disk, "etc/hostname", name)[:_HOSTNAME_LIMIT]


def _once(disk: Path, file: str, content: str) -> str:
    """Write a file unless there is something in it; what is in it."""
    path = _own(disk, file)
    if path is None:
        return content
    if path.exists() and (found := path.read_text(encoding="utf-8", errors="replace").strip()):
        return found
    path.write_text(content + "\n")
    return content


def _own(disk: Path, name: str) -> Path | None:
    """A path on the guest's disk, unless a link leads it elsewhere."""
    path = disk / name
    return path if os.path.realpath(path) == os.path.join(os.path.realpath(disk), name) else None
