"""What checkpoints cost: how long agents wait for them, what they store, how soon one is branched from and restored.

    .venv/bin/python -m benchmarks.checkpoint [--quick | --whole]
        [--latencies 0,1] [--files 100,10000] [--changed 0,10] [--calls 12] [--trees 6]

Waiting is measured on agents that call the gateway, beside the same runs without checkpoints. Storing is measured on
series of trees, beside an archive of each, restic and borg (Debian: `apt install restic borgbackup`).
The last line is one JSON object.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import product
from typing import Any

from benchmarks import checkpoint_calls as calls
from benchmarks import checkpoint_series as series
from benchmarks.stack import stack

QUICK = {"latencies": "0", "files": "100", "changed": "0,10", "calls": 6, "trees": 4}
USUAL = {"latencies": "0,1", "files": "100,10000", "changed": "0,10", "calls": 12, "trees": 6}
WHOLE = {"latencies": "0,1,5", "files": "100,10000,100000", "changed": "0,10,1000", "calls": 24, "trees": 8}
# What else would use the machine while it is measured.
ALONE = {"CHECKPOINT_PROOF_SECONDS_A_DAY": "0", "CHECKPOINT_PRUNE": "0"}

Row = dict[str, Any]


def main() -> None:
    asked = _asked()
    trees = list(_trees(asked))
    waits: list[Row] = []
    stored: list[Row] = []
    for latency in asked.latencies:
        settings = {"OFFLINE_MODEL_LATENCY_SECONDS": str(latency), "MACHINE_TYPES_DIR": str(calls.types())}
        with stack(**settings, **ALONE) as running:
            waits += [calls.measure(running, latency, *tree, asked.calls) for tree in trees]
    with stack(**ALONE) as running:
        for tree in trees:
            stored += series.measure(running, *tree, asked.trees)
    _report_waits(waits)
    _report_stored(stored)
    print(json.dumps({"waits": waits, "stored": stored}))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", action="store_const", const=QUICK, dest="size", help="a minute or two")
    sizes.add_argument("--whole", action="store_const", const=WHOLE, dest="size", help="hours")
    parser.add_argument("--latencies", type=_list, help="of the model, in seconds")
    parser.add_argument("--files", type=_list, help="in the workspace")
    parser.add_argument("--changed", type=_list, help="files that change between two calls, or two trees")
    parser.add_argument("--calls", type=int, help="model calls per run; the first is told apart")
    parser.add_argument("--trees", type=int, help="checkpoints per series; the first is told apart")
    known = parser.parse_args()
    size = known.size or USUAL
    for name, value in size.items():
        if getattr(known, name) is None:
            setattr(known, name, _list(value) if isinstance(value, str) else value)
    return known


def _list(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _trees(asked: argparse.Namespace) -> Iterator[tuple[int, int]]:
    return ((files, changed) for files, changed in product(asked.files, asked.changed) if changed <= files)


def _report_waits(rows: list[Row]) -> None:
    print("\nStall per model call, after the first; run time beside the same run without checkpoints")
    print(f"{'model':>6}{'files':>9}{'changed':>9}{'p50':>9}{'p95':>9}{'first':>9}{'loss':>9}{'skipped':>9}")
    for row in rows:
        skipped = "—" if row["skipped_share"] is None else f"{row['skipped_share']:.0%}"
        print(
            f"{row['latency_seconds']:>5}s{row['files']:>9}{row['changed']:>9}"
            f"{row['stall_p50_ms']:>6.0f} ms{row['stall_p95_ms']:>6.0f} ms{row['first_stall_ms']:>6.0f} ms"
            f"{row['run_time_loss']:>9.1%}{skipped:>9}"
        )


def _report_stored(rows: list[Row]) -> None:
    print(
        "\nStored bytes per checkpoint, after the first; seconds to take one, to branch from it, to go back to it"
    )
    print(
        f"{'files':>7}{'changed':>9}  {'kept by':24}{'first':>12}{'each':>12}{'of it: database':>17}"
        f"{'each on disk':>14}{'take':>8}{'branch':>8}{'restore':>9}"
    )
    for row in rows:
        head = f"{row['files']:>7}{row['changed']:>9}  {row['by']:24}"
        if "first_bytes" not in row:
            print(f"{head}{row['why_not']}")
            continue
        print(
            f"{head}{row['first_bytes']:>12,}{row['each_bytes']:>12,}"
            f"{row['each_database_bytes']:>17,}{row['each_disk_bytes']:>14,}"
            + "".join(
                f"{_seconds(row.get(name)):>{width}}"
                for name, width in (("take_seconds", 8), ("branch_seconds", 8), ("restore_seconds", 9))
            )
        )


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
