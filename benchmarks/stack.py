"""The stack that measurements run on, and a meter of what it uses."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autovibe.embedded.postgres import Postgres
from tests.e2e.stack import Stack, running

PARTS = ("web", "worker", "hub", "node")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@contextmanager
def stack(*, node: tuple[str, ...] = (), **settings: str) -> Iterator[Stack]:
    """Everything in real processes, on a throw-away PostgreSQL with its durability on.

    `node`: further options of the embedded node's command line.
    """
    with tempfile.TemporaryDirectory(prefix="autovibe-benchmark-") as name:
        home = Path(name)
        home.chmod(0o755)
        server = Postgres(home / "postgres")
        server.start()
        try:
            migrate(server.url)
            with running(home, server.url, node=node, DEBUG="0", LOG_LEVEL="WARNING", **settings) as started:
                yield started
        finally:
            server.stop()


def migrate(database: str) -> None:
    """Bring an empty database to the present schema."""
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        env={**os.environ, "DATABASE_URL": database},
        check=True,
    )


class Meter:
    """CPU time of each part, and requests that the node served, since it was made."""

    def __init__(self, measured: Stack) -> None:
        self._stack = measured
        self._cpu = self._read_cpu()
        self._requests = self._read_requests()

    def read(self, machines: int) -> dict[str, float]:
        used = {part: seconds - self._cpu[part] for part, seconds in self._read_cpu().items()}
        control_plane = used["web"] + used["worker"] + used["hub"]
        return {
            "control_plane_cpu_seconds_per_machine": control_plane / machines,
            **{f"{part}_cpu_seconds_per_machine": seconds / machines for part, seconds in used.items()},
            "node_requests_per_machine": (self._read_requests() - self._requests) / machines,
        }

    def _read_cpu(self) -> dict[str, float]:
        return {part: _cpu_of_group(self._stack.processes[part].pid) for part in PARTS}

    def _read_requests(self) -> int:
        return sum(path.read_bytes().count(b"\n") for path in (self._stack.home / "node").glob("access.log*"))


def _cpu_of_group(group: int) -> float:
    """User and system seconds of every process of a process group, with what their ended children used."""
    total = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            total += sum(int(ticks) for ticks in fields[11:15])
    return total / TICKS_PER_SECOND
