"""What the API and the fleet page cost as the fleet grows: queries and CPU time for each answer.

    .venv/bin/python -m benchmarks.api [--machines 1000,10000]

CPU time is that of Python and of the PostgreSQL backend together, of the whole request through every middleware, with
an API token (the page: a session). The baseline is a bare view of REST framework that reads one row, in the same run:
ratios to it are what to compare between hosts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from autovibe.embedded.postgres import Postgres
from benchmarks.stack import migrate

BASELINE = "bare"
TITLES = {
    BASELINE: "Bare view of one row",
    "list": "List of 50 machines",
    "filtered": "List of 50, filtered",
    "counts": "Counts by state",
    "detail": "One machine",
    "page": "The fleet page (HTML)",
}
Cost = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--machines", default="1000,10000", help="sizes of the fleet, separated by commas")
    parser.add_argument("--requests", type=int, default=40, help="of each kind")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="autovibe-benchmark-") as directory:
        home = Path(directory)
        home.chmod(0o755)  # PostgreSQL may run as somebody else
        server = Postgres(home / "postgres")
        server.start()
        try:
            migrate(server.url)
            found = {size: _measure(server, size, options.requests) for size in options.machines.split(",")}
        finally:
            server.stop()
    _report(found)


def _measure(server: Postgres, size: str, requests: int) -> dict[str, Cost]:
    name = f"machines_{size}"
    server.create_database(name, template="autovibe")
    argv = [sys.executable, "-m", "benchmarks.api_worker", server.url_of(name), size, str(requests)]
    told = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout
    measured: dict[str, Cost] = json.loads(told.splitlines()[-1])
    return measured


def _report(found: dict[str, dict[str, Cost]]) -> None:
    for size, costs in found.items():
        base = costs[BASELINE]["cpu_ms"]
        print(f"{int(size):,} machines")
        print(
            f"{'':26}{'queries':>8}{'CPU ms':>9}{'Python':>9}{'Postgres':>9}{'p50 ms':>9}{'KiB':>7}{'ratio':>7}"
        )
        for kind, cost in costs.items():
            figures = f"{cost['cpu_ms']:>9.1f}{cost['python_ms']:>9.1f}{cost['postgres_ms']:>9.1f}"
            rest = f"{cost['p50_ms']:>9.1f}{cost['kib']:>7.0f}{cost['cpu_ms'] / base:>7.1f}"
            print(f"{TITLES[kind]:26}{cost['queries']:>8.0f}{figures}{rest}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
