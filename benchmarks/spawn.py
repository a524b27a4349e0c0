"""Fifty machines at once on the embedded node, to the end: none lost, how long, and what it cost the control plane.

    .venv/bin/python -m benchmarks.spawn [--machines 50]

The baseline is one machine alone in the same run; ratios to it are what to compare between hosts.
"""

import argparse
import json
import time
from typing import Any

from benchmarks.stack import Meter, stack

PROMPT = "Write a fizzbuzz with tests and make them pass"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--machines", type=int, default=50)
    count = parser.parse_args().machines
    with stack() as running:
        alone = _run(running, 1)
        together = _run(running, count)
    _report(count, alone, together)


def _run(running: Any, count: int) -> dict[str, float]:
    meter = Meter(running)
    began = time.monotonic()
    handles = [running.spawn(PROMPT) for _ in range(count)]
    ends = [running.await_state(handle, "terminated", seconds=1800) for handle in handles]
    seconds = time.monotonic() - began
    checkpoints = [running.checkpoints(handle) for handle in handles]
    return {
        "machines": count,
        "ended_well": sum(end["state"] == "terminated" and end["exit_code"] == 0 for end in ends),
        "checkpoints": sum(len(found) for found in checkpoints),
        "checkpoints_broken": sum(one["state"] != "captured" for found in checkpoints for one in found),
        "makespan_seconds": seconds,
        **meter.read(count),
    }


def _report(count: int, alone: dict[str, float], together: dict[str, float]) -> None:
    print(f"{'':38}{'1 machine':>12}{f'{count} machines':>14}")
    for name in alone:
        print(f"{name.replace('_', ' '):38}{alone[name]:>12.2f}{together[name]:>14.2f}")
    serial = alone["makespan_seconds"] * count / together["makespan_seconds"]
    print(f"{'speed-up over one after the other':38}{'':>12}{serial:>14.2f}")
    print(json.dumps({"alone": alone, "together": together, "speedup": serial}))


if __name__ == "__main__":
    main()
