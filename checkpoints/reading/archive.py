"""A checkpoint as a tar file, made of what is kept of it while it is sent: its workspace, and the agent's history.

The same checkpoint gives the same bytes. A few megabytes are held at a time, whatever is in it.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, islice
from tarfile import BLOCKSIZE, DIRTYPE, PAX_FORMAT, RECORDSIZE, REGTYPE, SYMTYPE, TarInfo
from typing import Any

from asgiref.sync import sync_to_async

from checkpoints.contents import files, manifests, pieces
from checkpoints.models import Checkpoint, ManifestPart

WORKSPACE, TRANSCRIPTS, LEFT_OUT = "workspace", "transcripts", "left-out.txt"
PARTS_AT_ONCE = 16
SENT_BYTES = 256 * 1024  # so much is sent at once, at least
NAMED_MAX = 10_000  # of what is left out, so many are named
MTIME_NS_MAX = 2**63 - 1
NOT_KEPT = "its content is in the snapshot only"
ESCAPES = "its path would lead out of the archive"
BELOW_LINK = "it lies below a link"
TWICE = "the list of files has it twice"
DAMAGED = "its content is damaged, or gone from the store"

_TYPES = {"file": REGTYPE, "dir": DIRTYPE, "link": SYMTYPE}

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Member:
    """An entry under its name in the archive. With a `problem`, it is left out."""

    name: str
    entry: Entry
    problem: str

    @property
    def pieces(self) -> list[str]:
        return [] if self.problem or self.entry["kind"] != "file" else pieces.of(self.entry)


class Archive:
    """One checkpoint's tar file. Raises `Conflict` where it is not known which files there are."""

    def __init__(self, checkpoint: Checkpoint, *, transcripts: bool = False) -> None:
        files.require_listed(checkpoint)
        self._checkpoint = checkpoint
        self._transcripts = transcripts

    @property
    def file_name(self) -> str:
        return f"{self._checkpoint.handle}.tar"

    def left_out(self) -> int:
        """How many entries will be missing from it. Damage is found only while it is sent."""
        return sum(1 for member in self._members() if member.problem)

    async def stream(self) -> AsyncIterator[bytes]:
        """Its bytes. Database and compression have a thread of their own, as all of a request that blocks."""
        blocks = _gathered(self.blocks())
        while some := await sync_to_async(_next)(blocks):
            yield some

    def blocks(self) -> Iterator[bytes]:
        """Its bytes, as they come."""
        written = 0
        for block in self._contents():
            written += len(block)
            yield block
        # Two empty blocks end it, and its last record is filled: tar(5).
        yield bytes(2 * BLOCKSIZE + -(written + 2 * BLOCKSIZE) % RECORDSIZE)

    def _contents(self) -> Iterator[bytes]:
        missing = _Missing()
        yield self._header(WORKSPACE, {"kind": "dir", "mode": 0o755}, 0)
        for member, content in pieces.read(self._members(), lambda member: member.pieces):
            if member.problem or content is None:
                missing.add(member.name, member.problem or DAMAGED)
                continue
            yield self._header(member.name, member.entry, content.size)
            yield from _padded(content)
        if text := missing.text.encode():
            yield self._header(LEFT_OUT, {"kind": "file", "mode": 0o644}, len(text))
            yield from _padded(pieces.Content(len(text), [text]))

    def _members(self) -> Iterator[_Member]:
        last, links = "", set[str]()
        for entry in self._entries():
            name = _name(entry)
            if name == last:
                problem = TWICE
            elif not links.isdisjoint(accumulate(name.split("/")[:-1], "{}/{}".format)):
                problem = BELOW_LINK
            else:
                problem = _problem(entry)
            yield _Member(name, entry, problem)
            last = name
            if entry["kind"] == "link":
                links.add(name)

    def _entries(self) -> Iterator[Entry]:
        """Sorted by path: a link comes before what would lie below it."""
        digests = iter(self._checkpoint.manifest.parts if self._checkpoint.manifest else ())
        while some := list(islice(digests, PARTS_AT_ONCE)):
            found = ManifestPart.objects.in_bulk(some)
            for digest in some:
                for entry in found[digest].entries:
                    if self._transcripts or manifests.in_workspace(entry["path"]):
                        yield entry

    def _header(self, name: str, entry: Entry, size: int) -> bytes:
        """What stands before a member: pax(5), since names and times may be longer than tar has room for.

        An agent chose the modes: unpacked by root, what it wrote must not run as root for everybody.
        """
        info = TarInfo(f"{self._checkpoint.handle}/{name}")
        info.type, info.size, info.mode = _TYPES[entry["kind"]], size, entry.get("mode", 0) & 0o777
        info.uname = info.gname = "root"
        info.linkname = entry.get("target", "")
        info.mtime = int(self._checkpoint.created_at.timestamp())
        if "mtime_ns" in entry:
            info.mtime, fraction = divmod(min(max(entry["mtime_ns"], 0), MTIME_NS_MAX), 10**9)
            if fraction:
                info.pax_headers = {"mtime": f"{info.mtime}.{fraction:09}"}
        return info.tobuf(PAX_FORMAT, "utf-8", "strict")


class _Missing:
    """What is left out, and why, as the text that is put in instead."""

    def __init__(self) -> None:
        self._named: list[str] = []
        self._count = 0

    def add(self, name: str, why: str) -> None:
        self._count += 1
        if self._count <= NAMED_MAX:
            shown = name.encode(errors="backslashreplace").decode()
            self._named.append(f"{shown!r}: {why}\n")

    @property
    def text(self) -> str:
        if not self._count:
            return ""
        more = self._count - len(self._named)
        return "".join(
            ["Left out of this archive:\n\n", *self._named, f"\nand {more} more\n" if more else ""]
        )


def _name(entry: Entry) -> str:
    path = str(entry["path"])
    return f"{WORKSPACE}/{path}" if manifests.in_workspace(path) else f"{TRANSCRIPTS}{path}"


def _problem(entry: Entry) -> str:
    """Guests name the paths: none of them may reach what lies around the archive when it is unpacked."""
    path = str(entry["path"]).removeprefix("/")
    words = f"{path}{entry.get('target', '')}"
    if "\0" in words or not _encodable(words) or any(part in ("", ".", "..") for part in path.split("/")):
        return ESCAPES
    return NOT_KEPT if entry["kind"] == "file" and not entry.get("kept") else ""


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _padded(content: pieces.Content) -> Iterator[bytes]:
    yield from content.pieces
    yield bytes(-content.size % BLOCKSIZE)


def _next(blocks: Iterator[bytes]) -> bytes:
    return next(blocks, b"")


def _gathered(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in larger blocks, none of them empty."""
    held = bytearray()
    for block in blocks:
        held += block
        if len(held) >= SENT_BYTES:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)
