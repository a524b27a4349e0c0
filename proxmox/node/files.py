"""ISO and import images that directory storages hold: files by storage, kind and name."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from proxmox.node.errors import BadParameters, Failure
from proxmox.node.personalities import Personality

# pve-storage: ISO_EXT_RE_0 and UPLOAD_IMPORT_EXT_RE_1. Archives of a file tree are what guests here are made of.
_NAMES = {
    "iso": re.compile(r"[^/]+\.(?:iso|img)", re.IGNORECASE),
    "import": re.compile(r"[A-Za-z0-9_.+\-]+\.(ova|ovf|qcow2|raw|vmdk|tar|tar\.gz|tgz|tar\.xz|tar\.zst)"),
    "vztmpl": re.compile(r"[^/]+\.tar(?:\.(?:gz|xz|zst|bz2))?"),
}
_WRONG = {"import": "invalid filename or wrong extension"}
PLACES = {"iso": "template/iso", "import": "import", "vztmpl": "template/cache"}


class Files:
    """Every file of every directory storage."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, storage: str, volume: str) -> Path:
        """Where a volume `iso/name` is kept."""
        kind, _, name = volume.partition("/")
        return self._directory / storage / kind / name

    def kind(self, name: str) -> str:
        """iso, import or vztmpl when a volume's name is a file's, else an empty string."""
        kind, _, file = name.partition("/")
        return kind if kind in _NAMES and is_name(kind, file) else ""

    def rows(self, storage: Personality) -> Iterator[dict[str, Any]]:
        """What is there, as content lists show it."""
        for kind in _NAMES:
            for path in sorted((self._directory / storage.storage / kind).glob("*")):
                if not path.name.startswith("."):
                    yield _row(storage.storage, kind, path)

    def add(self, storage: str, kind: str, name: str, source: BinaryIO) -> None:
        """Keep a file, replacing one of that name when all of it is there."""
        path = self.path(storage, f"{kind}/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        with fresh.open("wb") as target:
            while chunk := source.read(1 << 20):
                target.write(chunk)
        os.replace(fresh, path)


def checked_name(kind: str, name: str) -> str:
    """A file's name as Proxmox makes it from a client's. Raises `BadParameters`."""
    plain = re.sub(r"[^A-Za-z0-9_.\-]", "_", name.rpartition("/")[2])
    if not is_name(kind, plain):
        raise BadParameters({"filename": _WRONG.get(kind, "wrong file extension")})
    return plain


def is_name(kind: str, name: str) -> bool:
    """Whether a file of that kind can have the name."""
    return bool(_NAMES[kind].fullmatch(name)) and not name.startswith(".")


def nominal(storage: Personality, volume: str) -> str:
    """Where clients believe the volume `iso/name` to be."""
    kind, _, name = volume.partition("/")
    return f"{storage.path}/{PLACES[kind]}/{name}"


def format_of(volume: str) -> str:
    """The format that content lists show."""
    match = _NAMES["import"].fullmatch(volume.rpartition("/")[2])
    return match[1] if match and volume.startswith("import/") else volume.partition("/")[0]


def _row(storage: str, kind: str, path: Path) -> dict[str, Any]:
    status = path.stat()
    volume = f"{kind}/{path.name}"
    return {
        "volid": f"{storage}:{volume}",
        "content": kind,
        "format": format_of(volume),
        "size": status.st_size,
        "ctime": int(status.st_mtime),
    }


def found(files: Files, storage: str, volume: str) -> Path:
    """An existing file. Raises `Failure`."""
    path = files.path(storage, volume)
    if not path.is_file():
        raise Failure(f"volume '{storage}:{volume}' does not exist")
    return path
