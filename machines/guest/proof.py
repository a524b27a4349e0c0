#!/usr/bin/env python3
"""The proof: what a scratch guest is asked, in one file that needs nothing but Python 3.9 or later.

It trusts nothing that the guest remembers: every file is read and hashed anew.

    proof.py list OUT PAGE [DIR…]     hash /workspace and these directories, PAGE entries to a file of OUT; asked
                                      again, it says how far it is
    proof.py transcripts PATH…        whether conversations can be read: each line of a .jsonl is JSON, the rest is text

OUT is a real path, the others are the guest's and lie under ${GUEST_ROOT}. Answers are one line of JSON on stdout.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import stat
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = os.environ.get("GUEST_ROOT", "").rstrip("/")
# What the runner wrote last before the snapshot: it says when, by the guest's own clock, the files were listed.
LISTED = (ROOT + "/var/lib/autovibe/capture.lock", ROOT + "/var/lib/autovibe/index")
AT_ONCE_SECONDS = 2.0  # a small workspace is hashed while one waits
ROOT_KIND = "root"
TOLD = 20  # of many faults


def listing(out: str, page: int, directories: list[str]) -> None:
    """Start the hashing once, and say how far it is."""
    os.makedirs(out, mode=0o700, exist_ok=True)
    with open(out + "/lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(json.dumps({"state": "running"}))
            return
        if not os.path.exists(out + "/done.json"):
            _in_background(out, page, directories)
    _tell(out)


def _in_background(out: str, page: int, directories: list[str]) -> None:
    """The child holds the lock for as long as it lives."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        os._exit(_work(out, page, directories))
    deadline = time.monotonic() + AT_ONCE_SECONDS
    while time.monotonic() < deadline and os.waitpid(child, os.WNOHANG) == (0, 0):
        time.sleep(0.01)


def _tell(out: str) -> None:
    try:
        with open(out + "/done.json") as file:
            print(file.read())
    except FileNotFoundError:
        print(json.dumps({"state": "running"}))


def _work(out: str, page: int, directories: list[str]) -> int:
    try:
        done = {"state": "done", **_hash_all(out, page, directories)}
    except Exception as error:
        done = {"state": "failed", "error": f"{type(error).__name__}: {error}"}
    with open(out + "/done.new", "w") as file:
        json.dump(done, file)
    os.rename(out + "/done.new", out + "/done.json")
    return 0


def _hash_all(out: str, page: int, directories: list[str]) -> dict[str, Any]:
    pages = files = size = 0
    waiting: list[dict[str, Any]] = []
    for top, prefix in [("/workspace", ""), *((one, one + "/") for one in directories)]:
        for entry in _walk(ROOT + top, prefix):
            waiting.append(entry)
            files += entry["kind"] == "file"
            size += entry.get("size", 0)
            if len(waiting) == page:
                _write(f"{out}/{pages}.gz", waiting)
                waiting, pages = [], pages + 1
    _write(f"{out}/{pages}.gz", waiting)
    return {"pages": pages + 1, "files": files, "bytes": size, "listed_ns": _listed_ns()}


def _listed_ns() -> int:
    times = [0]
    for path in LISTED:
        with suppress(OSError):
            times.append(os.stat(path).st_mtime_ns)
    return max(times)


def _write(path: str, entries: list[dict[str, Any]]) -> None:
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.writelines(json.dumps(entry) + "\n" for entry in entries)


def _walk(top: str, prefix: str) -> Iterator[dict[str, Any]]:
    """The directory itself, then everything below it; links are not followed, sockets and pipes not listed."""
    try:
        yield {"path": prefix, "kind": ROOT_KIND, "mtime_ns": os.stat(top).st_mtime_ns}
    except FileNotFoundError:
        return
    below = [(top, prefix)]
    while below:
        directory, prefix = below.pop()
        try:
            found = list(os.scandir(directory))
        except OSError as error:
            yield {"path": _text(prefix), "kind": "dir", "error": str(error)}
            continue
        for one in found:
            if one.is_dir(follow_symlinks=False):
                below.append((one.path, f"{prefix}{one.name}/"))
            yield from _entry(prefix + one.name, one.path)


def _entry(path: str, real: str) -> Iterator[dict[str, Any]]:
    entry: dict[str, Any] = {"path": _text(path)}
    try:
        info = os.lstat(real)
        entry.update(mode=stat.S_IMODE(info.st_mode), mtime_ns=info.st_mtime_ns)
        if stat.S_ISREG(info.st_mode):
            yield {**entry, "kind": "file", "size": info.st_size, "sha256": _sha256(real)}
        elif stat.S_ISLNK(info.st_mode):
            yield {**entry, "kind": "link", "target": _text(os.readlink(real))}
        elif stat.S_ISDIR(info.st_mode):
            yield {**entry, "kind": "dir"}
    except OSError as error:  # a disk that cannot be read is what is looked for
        yield {**entry, "kind": "file", "error": str(error)}


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _text(path: str) -> str:
    """As the runner writes paths: bytes that are not UTF-8 are shown as escapes."""
    return path if path.isascii() else os.fsencode(path).decode(errors="backslashreplace")


# --- conversations


def transcripts(paths: list[str]) -> None:
    """Read each conversation to its end."""
    told: dict[str, Any] = {"files": 0, "lines": 0, "cut": [], "bad": []}
    for path in paths:
        found = list(_conversations(ROOT + path))
        if not found:
            told["bad"].append(f"{path} is not there.")
        for real in found:
            told["files"] += 1
            _read(real, told)
    print(json.dumps(told))


def _conversations(top: str) -> Iterator[str]:
    if os.path.isfile(top):
        yield top
    for directory, _, names in os.walk(top):
        yield from (os.path.join(directory, name) for name in sorted(names) if name.endswith(".jsonl"))


def _read(real: str, told: dict[str, Any]) -> None:
    shown = real[len(ROOT) :]
    number = 0
    try:
        with open(real, "rb") as file:
            for line in file:
                number += 1
                if not line.endswith(b"\n") and real.endswith(".jsonl") and not _is_json(line):
                    told["cut"].append(shown)  # its writer was in the middle of it
                    continue
                _check(line, real)
    except (OSError, ValueError) as error:
        if len(told["bad"]) < TOLD:
            told["bad"].append(f"{shown}, line {number}: {error}")
    told["lines"] += number


def _check(line: bytes, real: str) -> None:
    text = line.decode()
    if real.endswith(".jsonl") and text.strip():
        json.loads(text)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    if sys.argv[1] == "list":
        listing(sys.argv[2], int(sys.argv[3]), [one.rstrip("/") for one in sys.argv[4:]])
    else:
        transcripts(sys.argv[2:])
