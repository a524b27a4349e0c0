"""File trees: what is in one, noticing what changed since it was last looked at, and putting one back.

A file whose inode, size and times are as in the index costs one stat. Sockets, pipes and devices are left out;
hard links become separate files. How lists of entries are kept is in `manifests`.
"""

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from proxmox.node.errors import Failure
from proxmox.node.store import Store

FILE, DIRECTORY, LINK = "f", "d", "l"
_KINDS = {stat.S_IFREG: FILE, stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: LINK}
BATCH = 64  # files per piece of work for a thread
READY = "ready"  # beside the tree: contents that are about to be put in place
# A file that was changed this recently may change again within the same tick of the file system's clock.
SETTLED_NS = 50_000_000

Tick = Callable[[], None]
T = TypeVar("T")


class Entry(NamedTuple):
    path: str  # relative to the tree's root
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    content: str  # a file's SHA-256, a link's target


class Seen(NamedTuple):
    """An entry, and the inode that had it when it was last looked at."""

    entry: Entry
    inode: int
    ctime_ns: int


Index = dict[str, Seen]


class Captured(NamedTuple):
    seen: Index
    same_entries: bool  # as the index that was given had them
    same_index: bool

    @property
    def entries(self) -> list[Entry]:
        """Sorted by path, so parents before children."""
        return entries_of(self.seen)


def walk(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every path below `root`, parents before children; what vanishes meanwhile is left out."""
    pending = [""]
    while pending:
        directory = pending.pop()
        prefix = directory + "/" if directory else ""
        try:
            with os.scandir(os.path.join(root, directory)) as entries:
                for entry in entries:
                    path = prefix + entry.name
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        pending.append(path)
                    yield path, status
        except FileNotFoundError:
            continue


def measure(root: str) -> int:
    """Bytes of storage that a tree takes, each inode counted once."""
    blocks = {status.st_ino: status.st_blocks for _, status in walk(root) if not stat.S_ISDIR(status.st_mode)}
    return sum(blocks.values()) * 512


class Trees:
    """Capturing and restoring, on a pool of threads that all guests share."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor((os.cpu_count() or 1) + 1, thread_name_prefix="tree")

    def capture(self, root: Path, index: Index, held: set[str], tick: Tick) -> Captured:
        """What is in the tree now; new contents go to the store, and into `held`."""
        now = time.time_ns()
        found: dict[str, Seen | None] = {}
        for path, status in walk(str(root)):
            seen = index.get(path)
            if seen and _same(seen, status) and seen.entry.content not in self._store.damaged:
                found[path] = seen
            elif kind := _kind(status):
                found[path] = None if kind == FILE else _plain(root, path, status)
        fresh = [path for path, seen in found.items() if seen is None]
        found |= self._each(lambda path: self._store_file(root, path, held), fresh, tick)
        seen_now = {path: _settled(seen, now) for path, seen in found.items() if seen}
        return _compared(seen_now, index)

    def restore(self, root: Path, entries: Iterable[Entry], index: Index, tick: Tick) -> Index:
        """Make the tree what `entries` say: surplus goes, differences come from the store, the rest is left alone.

        Parents come before children. Raises `Damaged`, with nothing touched: contents are laid ready beforehand.
        """
        wanted = {entry.path: entry for entry in entries}
        root.mkdir(parents=True, exist_ok=True)
        live = dict(walk(str(root)))
        kept = {path: seen for path in wanted if (seen := index.get(path)) and _holds(seen, wanted, live)}
        missing = [path for path, entry in wanted.items() if entry.kind == FILE and path not in kept]
        with self._ready(root.parent / READY, [wanted[path] for path in missing], tick) as ready:
            _clear(root, wanted, live)
            directories = [entry for entry in wanted.values() if entry.kind == DIRECTORY]
            for entry in directories:
                (root / entry.path).mkdir(exist_ok=True)
            others = [path for path, entry in wanted.items() if entry.kind != DIRECTORY]

            def put(path: str) -> Seen:
                return _put(root, wanted[path], kept.get(path), ready.get(path, ""))

            restored = dict(self._each(put, others, tick))
            restored |= {entry.path: _finish(root, entry) for entry in reversed(directories)}
        return {path: restored[path] for path in wanted}

    def _store_file(self, root: Path, path: str, held: set[str]) -> Seen | None:
        """None: the file is gone."""
        try:
            digest, status = self._store.add_file(os.path.join(root, path), held)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise Failure(f"cannot read '/{path}' of the guest: {error.strerror}") from None
        return Seen(_entry(path, FILE, status, digest), status.st_ino, status.st_ctime_ns)

    @contextlib.contextmanager
    def _ready(self, directory: Path, entries: list[Entry], tick: Tick) -> Iterator[dict[str, str]]:
        """Files with the contents of these entries, by path; what is not taken from there goes in the end."""
        shutil.rmtree(directory, ignore_errors=True)  # of a node that was killed
        directory.mkdir()
        contents = {entry.path: entry.content for entry in entries}
        ready = {path: f"{directory}/{number}" for number, path in enumerate(contents)}
        try:
            for _ in self._each(lambda path: self._write(contents[path], ready[path]), list(contents), tick):
                pass
            yield ready
        finally:
            shutil.rmtree(directory)

    def _write(self, content: str, path: str) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self._store.write(content, descriptor)
        finally:
            os.close(descriptor)

    def _each(self, work: Callable[[str], T], paths: list[str], tick: Tick) -> Iterator[tuple[str, T]]:
        """`work` for every path, on all threads; `tick` is called in between and may raise."""
        batches = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
        for batch, results in zip(
            batches, self._threads.map(lambda b: [work(p) for p in b], batches), strict=True
        ):
            tick()
            yield from zip(batch, results, strict=True)
        tick()


def _same(seen: Seen, status: os.stat_result) -> bool:
    entry = seen.entry
    return (
        seen.inode == status.st_ino
        and seen.ctime_ns == status.st_ctime_ns
        and entry.mtime_ns == status.st_mtime_ns
        and (entry.size == status.st_size or entry.kind != FILE)
        and entry.kind == _kind(status)
    )


def _holds(seen: Seen, wanted: dict[str, Entry], live: dict[str, os.stat_result]) -> bool:
    """Whether what is there now has the content that is wanted there."""
    has, wants = seen.entry, wanted[seen.entry.path]
    same = (has.kind, has.content) == (wants.kind, wants.content)
    return same and has.path in live and _same(seen, live[has.path])


def _settled(seen: Seen, now_ns: int) -> Seen:
    """`seen`, without trust in its times when a later change might not show in them."""
    safe = min(seen.ctime_ns, seen.entry.mtime_ns) < now_ns - SETTLED_NS or seen.entry.kind != FILE
    return seen if safe else seen._replace(ctime_ns=0)


def _compared(now: Index, before: Index) -> Captured:
    same_paths = now.keys() == before.keys()
    same_index = same_paths and all(before[path] is seen for path, seen in now.items())
    same_entries = same_paths and all(before[path].entry == seen.entry for path, seen in now.items())
    return Captured(now, same_entries, same_index)


def entries_of(index: Index) -> list[Entry]:
    """What an index says is in the tree, sorted by path."""
    return [index[path].entry for path in sorted(index)]


def _clear(root: Path, wanted: dict[str, Entry], live: dict[str, os.stat_result]) -> None:
    """Remove what is not wanted, or is something else."""
    _open_up(root, live)
    surplus = [path for path in live if path not in wanted or _kind(live[path]) != wanted[path].kind]
    for path in reversed(surplus):  # children before parents
        _remove(root, path, live[path])


def _kind(status: os.stat_result) -> str:
    return _KINDS.get(stat.S_IFMT(status.st_mode), "")


def _plain(root: Path, path: str, status: os.stat_result) -> Seen | None:
    """A directory or link; None for what is left out."""
    kind = _kind(status)
    try:
        target = os.readlink(os.path.join(root, path)) if kind == LINK else ""
    except FileNotFoundError:
        return None
    return Seen(_entry(path, kind, status, target), status.st_ino, status.st_ctime_ns) if kind else None


def _entry(path: str, kind: str, status: os.stat_result, content: str) -> Entry:
    size = status.st_size if kind == FILE else 0
    mode = stat.S_IMODE(status.st_mode)
    return Entry(path, kind, mode, status.st_uid, status.st_gid, size, status.st_mtime_ns, content)


def _finish(root: Path, entry: Entry) -> Seen:
    """Give a path its owner, mode and time."""
    path = os.path.join(root, entry.path)
    if os.geteuid() == 0:
        os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
    if entry.kind != LINK:
        os.chmod(path, entry.mode)
    os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)
    status = os.lstat(path)
    return Seen(entry, status.st_ino, status.st_ctime_ns)


def _put(root: Path, entry: Entry, kept: Seen | None, ready: str) -> Seen:
    """Make a file or link what it is to be. `kept`: it has the content already; `ready`: the file that has it."""
    if kept and kept.entry == entry:
        return kept
    if not kept:
        path = os.path.join(root, entry.path)
        if entry.kind == LINK:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            os.symlink(entry.content, path)
        else:
            os.rename(ready, path)
    return _finish(root, entry)


def _open_up(root: Path, live: dict[str, os.stat_result]) -> None:
    """Without root's rights, a directory that forbids writing would forbid restoring it; its mode is set at the end."""
    for path, status in live.items():
        if stat.S_ISDIR(status.st_mode) and status.st_mode & 0o700 != 0o700:
            os.chmod(os.path.join(root, path), 0o700)


def _remove(root: Path, path: str, status: os.stat_result) -> None:
    remove = os.rmdir if stat.S_ISDIR(status.st_mode) else os.unlink
    remove(os.path.join(root, path))
