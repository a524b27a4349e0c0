"""Backup archives: one self-contained file each, with notes and protection beside it, as `dir` storages keep them.

An archive is a zstd-compressed tar: the VM's configuration, the manifest of its disk, and every content once.
"""

import io
import json
import re
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import zstandard

from proxmox.node.configs import Values
from proxmox.node.errors import Failure
from proxmox.node.store import Store
from proxmox.node.trees import FILE, Entry

_NAME = re.compile(r"backup/vzdump-qemu-(\d+)-(\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d)\.vma\.zst")
CONFIG, MANIFEST, CONTENTS = "qemu-server.json", "manifest.json", "contents/"

Tick = Callable[[], None]


def new_path(dump: Path, vmid: int, at: float) -> Path:
    """Where a backup goes that is made at a time."""
    return dump / f"vzdump-qemu-{vmid}-{time.strftime('%Y_%m_%d-%H_%M_%S', time.localtime(at))}.vma.zst"


def is_name(name: str) -> bool:
    return bool(_NAME.fullmatch(name))


def vmid_of(name: str) -> int:
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else 0


def find(dump: Path, name: str) -> Path:
    """An archive's file. Raises `Failure`."""
    path = dump / name.removeprefix("backup/")
    if not path.exists():
        raise Failure(f"volume 'local:{name}' does not exist")
    return path


def listing(dump: Path) -> list[dict[str, Any]]:
    """Every backup, as the storage's content list shows it."""
    return [_row(path) for path in sorted(dump.glob("*.vma.zst")) if is_name(f"backup/{path.name}")]


def notes(path: Path) -> str:
    beside = path.with_name(path.name + ".notes")
    return beside.read_text(encoding="utf-8") if beside.exists() else ""


def set_notes(path: Path, text: str) -> None:
    path.with_name(path.name + ".notes").write_text(text, encoding="utf-8")


def protected(path: Path) -> bool:
    return path.with_name(path.name + ".protected").exists()


def protect(path: Path, yes: bool) -> None:
    mark = path.with_name(path.name + ".protected")
    if yes:
        mark.touch()
    else:
        mark.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove an archive and what lies beside it."""
    for name in (path.name, path.name + ".notes", path.name + ".protected"):
        path.with_name(name).unlink(missing_ok=True)


def write(path: Path, values: Values, entries: list[Entry], store: Store, tick: Tick) -> None:
    """Write an archive; it has its name only when it is complete."""
    fresh = path.with_suffix(".dat")
    try:
        with (
            fresh.open("wb") as file,
            zstandard.ZstdCompressor(level=3).stream_writer(file) as packed,
            tarfile.open(fileobj=cast(IO[bytes], packed), mode="w|") as tar,
        ):
            _add(tar, CONFIG, json.dumps(values).encode())
            _add(tar, MANIFEST, json.dumps(entries).encode())
            for digest, size in {
                entry.content: entry.size for entry in entries if entry.kind == FILE
            }.items():
                tick()
                _add(tar, CONTENTS + digest, b"".join(store.read(digest, size)))
        fresh.rename(path)
    finally:
        fresh.unlink(missing_ok=True)


def values_in(path: Path) -> Values:
    """The configuration in an archive."""
    with _opened(path) as tar:
        values: Values = json.loads(_content(tar, tar.next()))
        return values


def read(path: Path, store: Store, held: set[str], tick: Tick) -> list[Entry]:
    """Put an archive's contents into the store; what was on the disk. Raises `Failure` when it is damaged."""
    with _opened(path) as tar:
        tar.next()
        entries = [Entry(*row) for row in json.loads(_content(tar, tar.next()))]
        for member in iter(tar.next, None):
            tick()
            if store.put(_content(tar, member), held) != member.name.removeprefix(CONTENTS):
                raise ValueError(f"{member.name} is not what it was")
    if missing := {entry.content for entry in entries if entry.kind == FILE} - held:
        raise Failure(f"archive '{path.name}' is damaged: {len(missing)} contents are missing")
    return entries


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with (
            path.open("rb") as file,
            zstandard.ZstdDecompressor().stream_reader(file) as unpacked,
            tarfile.open(fileobj=cast(IO[bytes], unpacked), mode="r|") as tar,
        ):
            yield tar
    except (tarfile.TarError, zstandard.ZstdError, ValueError) as error:
        raise Failure(f"archive '{path.name}' is damaged: {error}") from None


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> bytes:
    extracted = tar.extractfile(member) if member else None
    if extracted is None:
        raise ValueError("a member is missing")
    return extracted.read()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _row(path: Path) -> dict[str, Any]:
    row: dict[str, Any] = {
        "volid": f"local:backup/{path.name}",
        "content": "backup",
        "subtype": "qemu",
        "format": "vma.zst",
        "vmid": vmid_of(f"backup/{path.name}"),
        "size": path.stat().st_size,
        "ctime": int(path.stat().st_mtime),
    }
    row |= {"notes": text} if (text := notes(path)) else {}
    return row | ({"protected": 1} if protected(path) else {})
