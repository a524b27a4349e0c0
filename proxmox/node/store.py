"""The content store: every distinct file content once, compressed, under the SHA-256 of what it decompresses to.

Knows nothing of files' names. What is no longer referred to is swept by `garbage`.
"""

import contextlib
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import zstandard

from proxmox.node.errors import Failure

LEVEL = 1  # the node is bound by the number of files, not by their size
CHUNK = 1 << 20
WHOLE = 4 << 20  # contents up to this size are handled in one piece
ATTEMPTS = 3  # to read a file that changes while it is read


class Store:
    """Contents by digest. Safe to use from several threads."""

    def __init__(self, directory: Path, *, fsync: bool) -> None:
        self._directory = directory
        self._fsync = fsync
        self._lock = threading.Lock()
        self._local = threading.local()
        self._sessions: list[set[str]] = []
        self._guarded: set[str] | None = None  # during a sweep: everything anyone has held since it began
        for number in range(256):
            (directory / f"{number:02x}").mkdir(parents=True, exist_ok=True)
        for leftover in directory.glob("**/*.new*"):
            leftover.unlink()

    @contextmanager
    def session(self) -> Iterator[set[str]]:
        """While open, nothing that is added to the set yielded is swept: for contents no manifest names yet."""
        held: set[str] = set()
        with self._lock:
            self._sessions.append(held)
        try:
            yield held
        finally:
            with self._lock:
                self._sessions = [session for session in self._sessions if session is not held]

    def add_file(self, path: str, held: set[str]) -> tuple[str, os.stat_result]:
        """Store a file's content; its digest, and what stat says of the version that was read.

        A file that changes meanwhile is read again; after a few attempts, what was read last counts. Raises OSError.
        """
        for attempt in range(1, ATTEMPTS + 1):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                before = os.fstat(descriptor)
                if not stat.S_ISREG(before.st_mode):
                    raise FileNotFoundError(path)  # it was a file when the directory was read
                digest = self._add(descriptor, before.st_size, held)
                after = os.fstat(descriptor)
            finally:
                os.close(descriptor)
            if _version(before) == _version(after) or attempt == ATTEMPTS:
                break
        return digest, after

    def write(self, digest: str, size: int, descriptor: int) -> None:
        """Write a content into a file; long runs of zeros become holes. Raises `Failure` when it is damaged."""
        check, written = hashlib.sha256(), 0
        for chunk in self.read(digest, size):
            check.update(chunk)
            written += len(chunk)
            if len(chunk) >= CHUNK and not any(chunk):
                os.lseek(descriptor, len(chunk), os.SEEK_CUR)
            else:
                _write_all(descriptor, chunk)
        os.ftruncate(descriptor, written)
        if check.hexdigest() != digest:
            raise Failure(f"stored content {digest} is damaged")

    def read(self, digest: str, size: int) -> Iterator[bytes]:
        """A content, in pieces. `size` is how long it is known to be. Raises `Failure` when it is not there."""
        try:
            with open(self._path(digest), "rb") as file:
                if size <= WHOLE:
                    yield self._decompressor().decompress(file.read(), max_output_size=max(size, 1))
                else:
                    yield from self._decompressor().read_to_iter(file, write_size=CHUNK)
        except FileNotFoundError:
            raise Failure(f"stored content {digest} is missing") from None
        except zstandard.ZstdError:
            raise Failure(f"stored content {digest} is damaged") from None

    def put(self, content: bytes, held: set[str]) -> str:
        """Store a content that is in memory."""
        digest = hashlib.sha256(content).hexdigest()
        if not self._hold(digest, held):
            with self._new(digest) as descriptor:
                _write_all(descriptor, self._compressor().compress(content))
        return digest

    def digests(self) -> Iterator[str]:
        """Everything that is stored."""
        for directory in os.scandir(self._directory):
            for entry in os.scandir(directory):
                if "." not in entry.name:
                    yield directory.name + entry.name

    @contextmanager
    def sweep(self) -> Iterator[Callable[[str], bool]]:
        """While open, yields what removes a content unless somebody has had it in hand since the sweep began."""
        with self._lock:
            self._guarded = set().union(*self._sessions)
        try:
            yield self._remove
        finally:
            self._guarded = None

    def _remove(self, digest: str) -> bool:
        with self._lock:
            if self._guarded is None or digest in self._guarded:
                return False
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(digest))
            return True

    def _add(self, descriptor: int, size: int, held: set[str]) -> str:
        if size <= WHOLE:
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return self.put(file.read(), held)
        digest = _digest(descriptor)
        if not self._hold(digest, held):
            digest = self._add_long(descriptor, held)
        return digest

    def _add_long(self, descriptor: int, held: set[str]) -> str:
        """Compress as it is read; what was hashed before may have changed, so it is hashed again."""
        os.lseek(descriptor, 0, os.SEEK_SET)
        check = hashlib.sha256()
        temporary = self._directory / f"long.new{threading.get_native_id()}"
        with (
            temporary.open("wb") as target,
            self._compressor().stream_writer(target, closefd=False) as packed,
        ):
            while chunk := os.read(descriptor, CHUNK):
                check.update(chunk)
                packed.write(chunk)
        digest = check.hexdigest()
        self._hold(digest, held)
        temporary.rename(self._path(digest))
        return digest

    def _hold(self, digest: str, held: set[str]) -> bool:
        """Keep a content from being swept; whether it is there already."""
        with self._lock:
            held.add(digest)
            if self._guarded is not None:
                self._guarded.add(digest)
            return os.path.exists(self._path(digest))

    @contextmanager
    def _new(self, digest: str) -> Iterator[int]:
        path = self._path(digest)
        temporary = f"{path}.new{threading.get_native_id()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor
            if self._fsync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)

    def _path(self, digest: str) -> str:
        return f"{self._directory}/{digest[:2]}/{digest[2:]}"

    def _compressor(self) -> zstandard.ZstdCompressor:
        if not hasattr(self._local, "compressor"):
            self._local.compressor = zstandard.ZstdCompressor(level=LEVEL)
        made: zstandard.ZstdCompressor = self._local.compressor
        return made

    def _decompressor(self) -> zstandard.ZstdDecompressor:
        if not hasattr(self._local, "decompressor"):
            self._local.decompressor = zstandard.ZstdDecompressor()
        made: zstandard.ZstdDecompressor = self._local.decompressor
        return made


def _digest(descriptor: int) -> str:
    check = hashlib.sha256()
    while chunk := os.read(descriptor, CHUNK):
        check.update(chunk)
    return check.hexdigest()


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
