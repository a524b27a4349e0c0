"""Backup archives: one self-contained file each, with notes and protection beside it, as `dir` storages keep them.

An archive is a tar, as compressed as its name says: the VM's configuration and firewall, the manifest of its disk,
and every content once. What a backup job does before and after is in `api/vzdump`.
"""

import contextlib
import gzip
import hashlib
import io
import json
import re
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import zstandard

from proxmox.node.configs import Values
from proxmox.node.errors import Failure
from proxmox.node.store import Store
from proxmox.node.trees import FILE, Entry

_NAME = re.compile(r"backup/vzdump-qemu-(\d+)-(\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d)\.(vma(?:\.zst|\.gz)?)")
_TIME = "%Y_%m_%d-%H_%M_%S"
SUFFIXES = {"0": "", "1": ".zst", "zstd": ".zst", "gzip": ".gz"}  # by vzdump's `compress`
CONFIG, FIREWALL, MANIFEST, CONTENTS = "qemu-server.json", "firewall.json", "manifest.json", "contents/"
_DIGEST = "AUTOVIBE.sha256"  # a member's content, in its extended header; contents have it in their names

Tick = Callable[[], None]
Spend = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Backup:
    """What an archive holds of a VM besides its contents."""

    values: Values
    firewall: dict[str, Any] | None
    entries: list[Entry]


def new_path(dump: Path, vmid: int, at: float, compress: str = "zstd") -> Path:
    """Where a backup goes that is made at a time."""
    stamp = time.strftime(_TIME, time.localtime(at))
    return dump / f"vzdump-qemu-{vmid}-{stamp}.vma{SUFFIXES[compress]}"


def is_name(name: str) -> bool:
    return bool(_NAME.fullmatch(name))


def is_like_one(name: str) -> bool:
    """Whether Proxmox would take it for a backup's name, made by anyone (pve-storage: BACKUP_EXT_RE_2)."""
    return bool(re.fullmatch(r"backup/[^/]+\.(?:tgz|(?:tar|vma)(?:\.(?:gz|lzo|zst|bz2))?)", name))


def vmid_of(name: str) -> int:
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else 0


def time_of(name: str) -> float:
    """When a backup was made, as its name says."""
    match = _NAME.fullmatch(name)
    return time.mktime(time.strptime(match[2], _TIME)) if match else 0.0


def find(dump: Path, volume: str) -> Path:
    """The file of an archive `storage:backup/name`. Raises `Failure`."""
    path = dump / volume.partition(":backup/")[2]
    if not path.exists():
        raise Failure(f"volume '{volume}' does not exist")
    return path


def listing(dump: Path, storage: str) -> list[dict[str, Any]]:
    """Every backup, as the storage's content list shows it."""
    return [_row(path, storage) for path in sorted(dump.glob("*.vma*")) if is_name(f"backup/{path.name}")]


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


def check_protected(dump: Path, vmid: int, limit: int, storage: str) -> None:
    """Raises `Failure` when no more of a VM's backups may be protected; a `limit` of -1 is none."""
    count = sum(row["vmid"] == vmid and "protected" in row for row in listing(dump, storage))
    if -1 < limit <= count:
        raise Failure(
            f"The number of protected backups per guest is limited to {limit} on storage '{storage}'"
        )


def remove(path: Path) -> None:
    """Remove an archive and what lies beside it."""
    for name in (path.name, path.name + ".notes", path.name + ".protected"):
        path.with_name(name).unlink(missing_ok=True)


def write(path: Path, backup: Backup, store: Store, spend: Spend) -> None:
    """Write an archive; it has its name only when it is complete. `spend` is told of every byte read, beforehand."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name.partition(".vma")[0] + ".dat")
    sizes = {entry.content: entry.size for entry in backup.entries if entry.kind == FILE}
    try:
        with _packed(fresh, path.suffix) as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
            _add(tar, CONFIG, json.dumps(backup.values).encode())
            _add(tar, FIREWALL, json.dumps(backup.firewall).encode())
            _add(tar, MANIFEST, json.dumps(backup.entries).encode())
            for digest, size in sizes.items():
                spend(size)
                _add(tar, CONTENTS + digest, b"".join(store.read(digest)))
        fresh.rename(path)
    finally:
        fresh.unlink(missing_ok=True)


def values_in(path: Path) -> Values:
    """The configuration in an archive."""
    with _opened(path) as tar:
        values: Values = _json(tar)
        return values


def read(path: Path, store: Store, held: set[str], tick: Tick) -> Backup:
    """Put an archive's contents into the store; the rest of it. Raises `Failure` when it is damaged."""
    with _opened(path) as tar:
        values, firewall = _json(tar), _json(tar)
        entries = [Entry(*row) for row in _json(tar)]
        for member in iter(tar.next, None):
            tick()
            if store.put(_content(tar, member), held, check=True) != member.name.removeprefix(CONTENTS):
                raise ValueError(f"{member.name} is not what it was")
    if missing := {entry.content for entry in entries if entry.kind == FILE} - held:
        raise Failure(f"archive '{path.name}' is damaged: {len(missing)} contents are missing")
    return Backup(values, firewall, entries)


def _json(tar: tarfile.TarFile) -> Any:
    return json.loads(_content(tar, tar.next()))


@contextmanager
def _packed(path: Path, suffix: str) -> Iterator[IO[bytes]]:
    """A file to write an archive to, compressed as its suffix says."""
    with contextlib.ExitStack() as stack:
        file: Any = stack.enter_context(path.open("wb"))
        if suffix == ".zst":
            file = stack.enter_context(zstandard.ZstdCompressor(level=3).stream_writer(file))
        elif suffix == ".gz":
            file = stack.enter_context(gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1))
        yield file


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with contextlib.ExitStack() as stack:
            file: Any = stack.enter_context(path.open("rb"))
            if path.suffix == ".zst":
                file = stack.enter_context(zstandard.ZstdDecompressor().stream_reader(file))
            elif path.suffix == ".gz":
                file = stack.enter_context(gzip.GzipFile(fileobj=file, mode="rb"))
            yield stack.enter_context(tarfile.open(fileobj=file, mode="r|"))
    except (
        tarfile.TarError,
        zstandard.ZstdError,
        zlib.error,
        gzip.BadGzipFile,
        EOFError,
        ValueError,
    ) as error:
        raise Failure(f"archive '{path.name}' is damaged: {error}") from None


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> bytes:
    extracted = tar.extractfile(member) if member else None
    if member is None or extracted is None:
        raise ValueError("a member is missing")
    data = extracted.read()
    digest = hashlib.sha256(data).hexdigest()
    if digest != member.pax_headers.get(_DIGEST, digest):
        raise ValueError(f"{member.name} is not what it was")
    return data


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    if not name.startswith(CONTENTS):
        info.pax_headers = {_DIGEST: hashlib.sha256(data).hexdigest()}
    tar.addfile(info, io.BytesIO(data))


def _row(path: Path, storage: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "volid": f"{storage}:backup/{path.name}",
        "content": "backup",
        "subtype": "qemu",
        "format": path.name.partition(".")[2],
        "vmid": vmid_of(f"backup/{path.name}"),
        "size": path.stat().st_size,
        "ctime": int(time_of(f"backup/{path.name}")),
    }
    row |= {"notes": text} if (text := notes(path)) else {}
    return row | ({"protected": 1} if protected(path) else {})
