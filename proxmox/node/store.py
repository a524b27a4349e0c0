"""The content store: every distinct content once, compressed, under the SHA-256 of what it decompresses to.

A long one is a list of pieces, which contents that begin alike share: what grows is mostly written at its end. Knows
nothing of files' names. What is no longer referred to is swept by `garbage`. A content that is found damaged counts as
not stored, so that whoever still has it stores it anew.
"""

import contextlib
import hashlib
import io
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import zstandard

from proxmox.node.errors import Damaged

LEVEL = 1  # the node is bound by the number of files, not by their size
CHUNK = 1 << 20
PIECE = 128 << 10
WHOLE = 4 << 20  # earlier versions stored what is longer as a stream, which does not say how long it is
HEAD = 18  # the longest head of a zstd frame, which says how long the content is (RFC 8878)
ATTEMPTS = 3  # to read a file that changes while it is read
ASIDE = ".damaged"
LIST = ".list"  # of the digests of a content's pieces
_DIGEST = re.compile(r"[0-9a-f]{64}")


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
        aside = directory.glob(f"??/*{ASIDE}")
        self.damaged = {path.parent.name + path.name.removesuffix(ASIDE) for path in aside}

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
                with os.fdopen(descriptor, "rb", closefd=False) as file:
                    digest = self._take(file, held, check=False)
                after = os.fstat(descriptor)
            finally:
                os.close(descriptor)
            if _version(before) == _version(after) or attempt == ATTEMPTS:
                break
        return digest, after

    def write(self, digest: str, descriptor: int) -> None:
        """Write a content into a file; long runs of zeros become holes. Raises `Damaged`, with some of it written."""
        written = 0
        for chunk in self.read(digest):
            written += len(chunk)
            if len(chunk) >= PIECE and not chunk.strip(b"\0"):
                os.lseek(descriptor, len(chunk), os.SEEK_CUR)
            else:
                _write_all(descriptor, chunk)
        os.ftruncate(descriptor, written)

    def read(self, digest: str) -> Iterator[bytes]:
        """A content, in pieces; after the last one it is known to be sound. Raises `Damaged`."""
        check = hashlib.sha256()
        try:
            for chunk in self._chunks(digest):
                check.update(chunk)
                yield chunk
        except Damaged:  # one of its pieces
            raise self._mark(digest, "damaged") from None
        except FileNotFoundError:
            raise self._set_aside(digest, "missing") from None
        except zstandard.ZstdError:
            raise self._set_aside(digest, "damaged") from None
        except OSError as error:
            raise Damaged(f"stored content {digest} cannot be read: {error.strerror}") from None
        if check.hexdigest() != digest:
            raise self._set_aside(digest, "damaged")

    def put(self, content: bytes, held: set[str], *, check: bool = False) -> str:
        """Store a content that is in memory; its digest. `check`: what is stored is looked at, not believed."""
        return self._take(io.BytesIO(content), held, check=check)

    def digests(self, suffix: str = "") -> Iterator[str]:
        """Everything that is stored, sound or not; with a suffix, of that kind."""
        for directory in os.scandir(self._directory):
            for entry in os.scandir(directory):
                if ".new" not in entry.name and entry.name.endswith(suffix):
                    yield directory.name + entry.name.partition(".")[0]

    def pieces(self, digests: set[str]) -> set[str]:
        """All that these contents are in pieces in. Raises `Damaged`."""
        return {piece for digest in self.digests(LIST) if digest in digests for piece in self._listed(digest)}

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
            for suffix in ("", LIST):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._path(digest) + suffix)
            self._forget_damage(digest)
            return True

    def _chunks(self, digest: str) -> Iterator[bytes]:
        if os.path.exists(self._path(digest) + LIST):
            for piece in self._listed(digest):
                yield from self.read(piece)
            return
        with open(self._path(digest), "rb") as file:
            head = file.read(HEAD)
            if 0 <= zstandard.frame_content_size(head) <= WHOLE:
                yield self._decompressor().decompress(head + file.read())
            else:
                file.seek(0)
                yield from self._decompressor().read_to_iter(file, write_size=CHUNK)

    def _is_sound(self, digest: str) -> bool:
        try:
            for _ in self.read(digest):
                pass
        except Damaged:
            return False
        return True

    def _set_aside(self, digest: str, how: str) -> Damaged:
        with contextlib.suppress(FileNotFoundError):
            os.rename(self._path(digest), self._path(digest) + ASIDE)
        return self._mark(digest, how)

    def _mark(self, digest: str, how: str) -> Damaged:
        """From now on it counts as not stored, after a restart as well."""
        with self._lock:
            Path(self._path(digest) + ASIDE).touch()
            self.damaged.add(digest)
        return Damaged(f"stored content {digest} is {how}")

    def _forget_damage(self, digest: str) -> None:
        if digest in self.damaged:
            self.damaged.discard(digest)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(digest) + ASIDE)

    def _listed(self, digest: str) -> list[str]:
        with open(self._path(digest) + LIST, encoding="ascii", errors="replace") as file:
            pieces = file.read().split()
        if not all(map(_DIGEST.fullmatch, pieces)):
            raise self._mark(digest, "damaged")
        return pieces

    def _take(self, file: BinaryIO, held: set[str], *, check: bool) -> str:
        """Store what a file has from here on; its digest."""
        whole, pieces = hashlib.sha256(), list[str]()
        while (piece := file.read(PIECE)) or not pieces:
            whole.update(piece)
            pieces.append(self._put_piece(piece, held, check=check))
        digest = whole.hexdigest()
        if len(pieces) > 1 and (not self._hold(digest, held) or digest in self.damaged or check):
            with self._new(digest, LIST) as descriptor:
                _write_all(descriptor, "\n".join(pieces).encode())
        return digest

    def _put_piece(self, content: bytes, held: set[str], *, check: bool) -> str:
        digest = hashlib.sha256(content).hexdigest()
        if not self._hold(digest, held) or (check and not self._is_sound(digest)):
            with self._new(digest) as descriptor:
                _write_all(descriptor, self._compressor().compress(content))
        return digest

    def _hold(self, digest: str, held: set[str]) -> bool:
        """Keep a content from being swept; whether it is there already."""
        with self._lock:
            held.add(digest)
            if self._guarded is not None:
                self._guarded.add(digest)
            return os.path.exists(self._path(digest)) or os.path.exists(self._path(digest) + LIST)

    @contextmanager
    def _new(self, digest: str, suffix: str = "") -> Iterator[int]:
        path = self._path(digest) + suffix
        temporary = f"{path}.new{threading.get_native_id()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor
            if self._fsync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        with self._lock:
            os.rename(temporary, path)
            self._forget_damage(digest)

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


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
