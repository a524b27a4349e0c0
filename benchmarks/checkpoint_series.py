"""What checkpoints store, and how soon one is branched from and restored, beside other ways to keep a series of trees.

Each keeps the same workspace at the same moments. Caches that can be lost without harm are counted for none.
"""

import os
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import zstandard

from tests.e2e.stack import Stack

# Makes the tree, says so, and stays.
AGENT = """
i=0
while [ $i -lt {files} ]; do
    [ $((i % 100)) -ne 0 ] || mkdir -p tree/$((i / 100))
    n=0; while [ $n -lt 20 ]; do echo "file $i"; n=$((n + 1)); done > tree/$((i / 100))/$i.txt
    i=$((i + 1))
done
touch made
exec sleep 100000
"""


class Size(NamedTuple):
    """What a directory comes to."""

    size: int  # of the files, and of the database
    disk: int  # what the file system takes for these
    database: int = 0

    def since(self, before: "Size") -> "Size":
        return Size(*(now - then for now, then in zip(self, before, strict=True)))


class Keeper:
    """One way to keep trees: `keep` is given the workspace and a number, `size` says what it has stored."""

    def __init__(self, by: str, keep: Callable[[Path, int], None], size: Callable[[], Size]) -> None:
        self.by = by
        self._keep = keep
        self._size = size
        self._sizes = [size()]
        self._seconds: list[float] = []

    def take(self, workspace: Path, number: int) -> None:
        began = time.monotonic()
        self._keep(workspace, number)
        self._seconds.append(time.monotonic() - began)
        self._sizes.append(self._size())

    def row(self) -> dict[str, Any]:
        nothing, first, *_, last = self._sizes
        later = len(self._sizes) - 2
        each = Size(*(part // later for part in last.since(first)))
        return {
            "by": self.by,
            "first_bytes": first.since(nothing).size,
            "each_bytes": each.size,
            "each_database_bytes": each.database,
            "each_disk_bytes": each.disk,
            "take_seconds": statistics.median(self._seconds[1:]),
        }


class Series:
    """A machine that stays as it is, but for the files that are changed in its workspace."""

    def __init__(self, running: Stack, files: int) -> None:
        self._running = running
        self._database = running.environment["DATABASE_URL"]
        self.handle = running.spawn(AGENT.format(files=files), "shell")
        running.await_state(self.handle, "running", seconds=120)
        self.workspace = self._node / "guests" / str(self._vmid()) / "disk/workspace"
        _await((self.workspace / "made").exists, seconds=1800)
        self.taken: list[str] = []

    def take(self, workspace: Path, number: int) -> None:
        taken = self._running.post(f"machines/{self.handle}/checkpoint/")["handle"]
        _await(lambda: self._is_captured(taken), seconds=900)
        self.taken.append(taken)

    def size(self) -> Size:
        """What checkpoints have taken so far: in the node's store, and in PostgreSQL."""
        parts = [size(path) for path in (self._node / "objects", *self._node.glob("guests/*/snapshots"))]
        query = """
            SELECT sum(pg_total_relation_size(oid)) FROM pg_class
            WHERE relkind IN ('r', 'm') AND relname LIKE 'checkpoints\\_%'
        """
        with psycopg.connect(self._database) as connection:
            row = connection.execute(query).fetchone()
        database = int(row[0]) if row else 0
        sums = [sum(each) for each in zip(*parts, strict=True)]
        return Size(sums[0] + database, sums[1] + database, database)

    def branch_seconds(self) -> float:
        """From asking for a branch of the newest checkpoint until its agent runs."""
        began = time.monotonic()
        branch = self._running.post(f"checkpoints/{self.taken[-1]}/branch/", {"prompt": "exec sleep 100000"})
        _await(lambda: self._state(branch["handle"]) == "running", seconds=900)
        seconds = time.monotonic() - began
        self._end(branch["handle"])
        return seconds

    def restore_seconds(self) -> float:
        """From asking for the checkpoint before the newest until the machine has been put back to it."""
        began = time.monotonic()
        operation = self._running.post(f"machines/{self.handle}/rollback/", {"checkpoint": self.taken[-2]})
        _await(lambda: self._has_ended(operation["id"]), seconds=900)
        return time.monotonic() - began

    def end(self) -> None:
        self._end(self.handle)

    @property
    def _node(self) -> Path:
        return self._running.home / "node"

    def _vmid(self) -> int:
        query = "SELECT g.vmid FROM guests_guest g JOIN machines_machine m ON m.guest_id = g.id WHERE m.number = %s"
        with psycopg.connect(self._database) as connection:
            row = connection.execute(query, [int(self.handle[1:])]).fetchone()
        assert row
        return int(row[0])

    def _is_captured(self, checkpoint: str) -> bool:
        found = self._running.get(f"checkpoints/{checkpoint}/")
        assert found["state"] != "broken", found["error"]
        return bool(found["state"] != "requested")

    def _has_ended(self, operation: str) -> bool:
        found = self._running.get(f"operations/{operation}/")
        assert found["status"] != "failed", found["error"]
        return bool(found["status"] == "succeeded")

    def _state(self, handle: str) -> str:
        return str(self._running.get(f"machines/{handle}/")["state"])

    def _end(self, handle: str) -> None:
        self._running.post(f"machines/{handle}/terminate/")
        self._running.await_state(handle, "terminated", seconds=300)


def measure(running: Stack, files: int, changed: int, trees: int) -> list[dict[str, Any]]:
    """One row for each way to keep the same series of trees, with what is not installed named."""
    series = Series(running, files)
    with tempfile.TemporaryDirectory(prefix="autovibe-series-") as name:
        others, missing = _others(Path(name))
        keepers = [Keeper("autovibe", series.take, series.size), *others]
        for number in range(trees):
            for index in range(changed):
                path = _path(series.workspace, (index * (files // changed) + number) % files)
                path.write_text(f"tree {number}, file {index}\n")
            for keeper in keepers:
                keeper.take(series.workspace, number)
        rows = [keeper.row() for keeper in keepers]
    rows[0] |= {"branch_seconds": series.branch_seconds(), "restore_seconds": series.restore_seconds()}
    series.end()
    return [{"files": files, "changed": changed, **row} for row in (*rows, *missing)]


def size(directory: Path) -> Size:
    """What is in a directory; a file that goes meanwhile counts for nothing."""
    total = disk = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            try:
                status = os.lstat(os.path.join(parent, name))
            except FileNotFoundError:
                continue
            total, disk = total + status.st_size, disk + status.st_blocks * 512
    return Size(total, disk)


def _others(home: Path) -> tuple[list[Keeper], list[dict[str, Any]]]:
    keepers, missing = [_tar(home / "tar")], []
    for program, package, make in (("restic", "restic", _restic), ("borg", "borgbackup", _borg)):
        if shutil.which(program):
            keepers.append(make(home / program))
        else:
            missing.append({"by": program, "why_not": f"not installed: apt install {package}"})
    return keepers, missing


def _tar(home: Path) -> Keeper:
    home.mkdir()

    def keep(workspace: Path, number: int) -> None:
        packer = zstandard.ZstdCompressor(level=3)
        with (
            (home / f"{number}.tar.zst").open("wb") as file,
            packer.stream_writer(file) as packed,
            tarfile.open(fileobj=packed, mode="w|") as tar,
        ):
            tar.add(workspace, ".")

    return Keeper("tar.zst of each", keep, lambda: size(home))


def _restic(home: Path) -> Keeper:
    repository = home / "repository"
    secret = {"RESTIC_PASSWORD": "benchmark", "RESTIC_CACHE_DIR": str(home / "cache")}
    restic = ("restic", "--quiet", "--repo", str(repository))
    _run(*restic, "init", **secret)

    def keep(workspace: Path, number: int) -> None:
        _run(*restic, "backup", ".", at=workspace, **secret)

    return Keeper(f"restic {_version('restic', 'version')}", keep, lambda: size(repository))


def _borg(home: Path) -> Keeper:
    repository = home / "repository"
    base = {"BORG_BASE_DIR": str(home), "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
    home.mkdir()
    _run("borg", "init", "--encryption", "none", str(repository), **base)

    def keep(workspace: Path, number: int) -> None:
        _run("borg", "create", f"{repository}::{number}", ".", at=workspace, **base)

    return Keeper(f"borg {_version('borg', '--version')}", keep, lambda: size(repository))


def _version(program: str, option: str) -> str:
    said = subprocess.run((program, option), check=True, capture_output=True, text=True).stdout
    return said.split()[1]


def _run(*argv: str, at: Path | None = None, **environment: str) -> None:
    subprocess.run(argv, cwd=at, env={**os.environ, **environment}, check=True, stdout=subprocess.DEVNULL)


def _path(workspace: Path, number: int) -> Path:
    return workspace / "tree" / str(number // 100) / f"{number}.txt"


def _await(true: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Waited {seconds:.0f} s.")
        time.sleep(0.02)
