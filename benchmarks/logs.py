"""How fast lines of logs are taken, and how fast they are found among a million others.

    .venv/bin/python -m benchmarks.logs [--lines 40000] [--runs 5]

Lines come in reports of 2,000, as from a guest that is in a hurry, into a database that keeps its promises (fsync).
Searches are timed with all that the page of the search does but its template.
"""

import argparse
import json
import subprocess
import sys

from tests.e2e.stack import ROOT
from tests.scenes.serving import standing_alone


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=40_000, help="that are reported")
    parser.add_argument("--runs", type=int, default=5, help="of each search")
    options = parser.parse_args()
    argv = [sys.executable, "-m", "benchmarks.logs_worker", str(options.lines), str(options.runs)]
    with standing_alone("busy", fsync=True, DEBUG="0", LOG_LEVEL="ERROR") as scene:
        done = subprocess.run(
            argv, cwd=ROOT, env=scene.stack.environment, input=json.dumps(scene.ids), stdout=subprocess.PIPE,
            text=True, check=True,
        )  # fmt: skip
    told = json.loads(done.stdout.splitlines()[-1])
    print(
        "{lines_per_second:,.0f} lines a second; the slowest report {worst_report_ms:,.0f} ms\n".format_map(
            told["taken"]
        )
    )
    print(f"{'search':34}{'p50 ms':>10}{'worst ms':>10}{'rows':>6}")
    for search, figures in told["searched"].items():
        print(
            f"{search or '(everything)':34}{figures['p50_ms']:>10.1f}{figures['worst_ms']:>10.1f}{figures['rows']:>6}"
        )
    print(json.dumps(told))


if __name__ == "__main__":
    main()
