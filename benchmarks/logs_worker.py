"""The side of `benchmarks.logs` that is Django: takes lines as guests report them, and searches among all of them.

python -m benchmarks.logs_worker LINES RUNS
"""

import json
import os
import statistics
import sys
import time
from typing import Any

PER_REPORT = 2000
RARE = "zebraquark"
SEARCHES = (
    "",
    "passed",
    "retry",
    RARE,
    "nosuchword",
    '"call sites are left"',
    f'"{RARE} leaps"',
    "machine:{machine}",
    "machine:{machine} passed",
    "machine:{machine} nosuchword",
    "project:{slug} passed",
    f"project:{{slug}} {RARE}",
    "level:error",
    f"level:error {RARE}",
    "stream:err",
    "stream:sys",
    "since:1h passed",
    "until:10h passed",
    f"until:10h {RARE}",
    "-passed",
    "-level:error",
    "passed -tests",
    f"passed {RARE}",
    f"passed retry -{RARE}",
)


def taken(handle: str, lines: int) -> dict[str, float]:
    """Lines a second as reports bring them, of one guest, by one process."""
    from machines.models import Machine
    from machines.reports import report

    machine = Machine.objects.select_related("project").get(number=int(handle[1:]))
    first = machine.log.count() + 1
    rare = f" {RARE} leaps"
    sent = [
        [first + at, time.time(), "out", f"step {at * 7919} of file {at % 97}.py took {at} ms{rare * (at % 4001 == 0)}"]
        for at in range(lines)
    ]  # fmt: skip
    took = []
    for at in range(0, lines, PER_REPORT):
        began = time.perf_counter()
        report(machine, {"run": str(machine.run), "lines": sent[at : at + PER_REPORT]})
        took.append(time.perf_counter() - began)
    return {"lines_per_second": lines / sum(took), "worst_report_ms": max(took) * 1000}


def searched(ids: dict[str, str], runs: int) -> dict[str, dict[str, float]]:
    """Of each search: how long its page takes in milliseconds, and how many lines it shows."""
    from dashboard import log_search
    from projects.models import User

    admin = User.objects.get(username="admin")
    found = {}
    for search in SEARCHES:
        asked = search.format_map(ids)
        took = []
        for _ in range(runs + 1):
            began = time.perf_counter()
            rows = len(log_search.view(admin, {"q": asked})["rows"])
            took.append((time.perf_counter() - began) * 1000)
        found[asked] = {"p50_ms": statistics.median(took[1:]), "worst_ms": max(took), "rows": rows}
    return found


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "autovibe.settings")
    import django

    django.setup()
    ids: dict[str, Any] = json.loads(sys.stdin.read())
    told = {"taken": taken(ids["machine"], int(sys.argv[1])), "searched": searched(ids, int(sys.argv[2]))}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
