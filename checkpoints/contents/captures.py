"""What guests say when they are asked for their files (`machines/guest/runner.py`): reading it, believing little.

Nothing is kept here; contents are hashed again where they are (`manifests`).
"""

import base64
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple
from uuid import UUID

Entry = dict[str, Any]

# What reading a guest's words can raise.
UNREADABLE = (
    ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, zlib.error, ArithmeticError, RecursionError,
)  # fmt: skip
# What is longer keeps a worker busy for more than half a minute while the agent waits.
ENTRIES_MAX = 300_000
LIST_BYTES_MAX = 256 * 1024**2
FILE_BYTES_MAX = 2**50  # of one, and of all of a list together: no disk has more
MODE_MAX = 0o7777
# Files of the agent's history are kept whole up to this size, in pieces; other files as the settings say.
HISTORY_BYTES_MAX, HISTORY_PIECE_BYTES = 64 * 1024**2, 64 * 1024
PIECE_BYTES = 1024**2
SHA256 = re.compile(r"[0-9a-f]{64}")


class Transcript(NamedTuple):
    """Where the agent's conversation stood: its own name for it, the file, and how far that was written."""

    session: str = ""
    path: str = ""
    size: int = 0


class Answer(NamedTuple):
    """What a guest answers at once: what its files amount to, and whether it has contents for us."""

    digest: str
    work: str
    rest: str
    transcript: Transcript
    handed: int


class Listing(NamedTuple):
    """What it hands out: entries by path (None: it is gone), all of them or what differs `since`; contents by hash."""

    since: str
    entries: dict[str, Entry | None]
    contents: dict[str, bytes]


def answer(raw: bytes) -> Answer:
    """The answer of `capture`. Raises one of `UNREADABLE`."""
    said = json.loads(raw)
    digest, work, rest = (_digest(said[key]) for key in ("digest", "work", "rest"))
    return Answer(digest, work, rest, _transcript(said["transcripts"]), int(said["handed"]))


def listing(raw: bytes) -> Listing:
    """A list of files; every line is an object. Raises one of `UNREADABLE`."""
    found = Listing("", {}, {})
    for line in _lines(raw):
        if "content" in line:
            found.contents[line["sha256"]] = base64.b64decode(line["content"])
        elif "path" in line:
            entry = None if line.get("gone") else _entry(line)
            found.entries[str(line["path"])] = entry
        elif "since" in line:
            found = found._replace(since=_digest(line["since"]))
    return found


def is_history(entry: Entry) -> bool:
    """Whether it belongs to the agent's own history, which may lie in the workspace as well."""
    return bool(entry.get("transcript") or entry["path"].startswith("/"))


def _digest(value: Any) -> str:
    if value and not SHA256.fullmatch(value):
        raise ValueError("a digest is none")
    return str(value)


def _transcript(said: list[dict[str, Any]]) -> Transcript:
    """The conversation is the file last written to, before those whose names are not a conversation's."""
    files = [(str(one["path"]).replace("\0", ""), int(one["size"]), int(one["mtime_ns"])) for one in said]
    if not files:
        return Transcript()
    path, size, _ = max(files, key=lambda one: (bool(_session(one[0])), one[2]))
    if not 0 <= size <= FILE_BYTES_MAX:
        raise ValueError(f"{path} has no proper size")
    return Transcript(_session(path), path[:500], size)


def _session(path: str) -> str:
    """Claude Code names the file of a conversation after it; what other agents write has no such name."""
    name = path.rpartition("/")[2].removesuffix(".jsonl")
    try:
        return str(UUID(name))
    except ValueError:
        return ""


def _entry(line: dict[str, Any]) -> Entry:
    """A line that is an entry, with nothing else in it. Raises ValueError."""
    entry: Entry = {"path": str(line["path"]), "kind": line["kind"], "mode": int(line.get("mode", 0))}
    if not 0 <= entry["mode"] <= MODE_MAX:
        raise ValueError(f"{entry['path']} has no proper mode")
    if entry["kind"] == "file":
        entry |= {"size": int(line["size"]), "sha256": str(line["sha256"])}
        entry["mtime_ns"] = int(line.get("mtime_ns", 0))
        if not SHA256.fullmatch(entry["sha256"]) or not 0 <= entry["size"] <= FILE_BYTES_MAX:
            raise ValueError(f"{entry['path']} has no proper size or hash")
        entry |= {"transcript": True} if line.get("transcript") else {}
        entry |= {"chunks": _chunks(entry, line["chunks"])} if "chunks" in line else {}
    elif entry["kind"] == "link":
        entry["target"] = str(line["target"])
    elif entry["kind"] != "dir":
        raise ValueError(f"{entry['path']} is a {entry['kind']}")
    return entry


def _chunks(entry: Entry, said: Any) -> list[str]:
    size = HISTORY_PIECE_BYTES if is_history(entry) else PIECE_BYTES
    chunks = [str(one) for one in said]
    if len(chunks) != -(-entry["size"] // size) or not all(map(SHA256.fullmatch, chunks)):
        raise ValueError(f"{entry['path']} has not the pieces that its size asks for")
    return chunks


def _lines(raw: bytes) -> Iterator[dict[str, Any]]:
    left = LIST_BYTES_MAX
    with gzip.open(io.BytesIO(raw)) as file:
        for number in count():
            if not (line := file.readline(left + 1)):
                return
            left -= len(line)
            if left < 0 or number > ENTRIES_MAX:
                raise ValueError(
                    f"it is longer than {ENTRIES_MAX:,} entries, or {LIST_BYTES_MAX >> 20} MiB, which is the most"
                )
            yield json.loads(line)
