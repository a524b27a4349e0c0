"""How long an agent waits for checkpoints: with and without them, at several latencies of the model.

    .venv/bin/python -m benchmarks.checkpoint [--files 10000] [--calls 8]

The agent works in a workspace of many files and changes one between two calls. "Stall" is what the gateway held the
answer back for the checkpoint, beyond the model's own time; the baseline is the same run without checkpoints.
"""

import argparse
import json
import statistics
from pathlib import Path

import psycopg

from benchmarks.stack import stack
from tests.e2e.stack import Stack

LATENCIES = (0.0, 1.0, 5.0)

# Calls the gateway as an agent does, and writes one file after each answer.
AGENT = """
import json, os, pathlib, time, urllib.request
for n in range({files}):
    path = pathlib.Path("tree", str(n // 100), f"{{n}}.txt")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"file {{n}}\\n" * 20)
for turn in range({calls}):
    messages = [{{"role": "user", "content": f"turn {{turn}}"}}]
    body = {{"model": "claude-sonnet-4-5", "max_tokens": 200, "messages": messages}}
    request = urllib.request.Request(
        os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages",
        json.dumps(body).encode(),
        {{"Authorization": "Bearer " + os.environ["ANTHROPIC_AUTH_TOKEN"], "Content-Type": "application/json"}},
    )
    began = time.monotonic()
    urllib.request.urlopen(request, timeout=300).read()
    print("waited", time.monotonic() - began, flush=True)
    pathlib.Path("tree/0/0.txt").write_text(f"turn {{turn}}\\n")
"""

TYPE = """
name = "{name}"
title = "Measured agent"
summary = "Calls the gateway and writes a file, over and over."
good_at = []
checkpoints = "{policy}"
default_model = "claude-sonnet-4-5"
command = 'exec python3 "$AUTOVIBE_PROMPT_FILE"'
[environment]
ANTHROPIC_BASE_URL = "{{gateway}}"
ANTHROPIC_AUTH_TOKEN = "{{token}}"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=10_000, help="files in the workspace")
    parser.add_argument("--calls", type=int, default=8, help="model calls per run; the first is not counted")
    asked = parser.parse_args()
    rows = [row for latency in LATENCIES for row in _measure(latency, asked.files, asked.calls)]
    _report(rows)


def _measure(latency: float, files: int, calls: int) -> list[dict[str, float | str]]:
    prompt = AGENT.format(files=files, calls=calls)
    with stack(OFFLINE_MODEL_LATENCY_SECONDS=str(latency), MACHINE_TYPES_DIR=str(_types())) as running:
        return [_run(running, f"measured-{policy}", prompt, latency) for policy in ("none", "every-call")]


def _types() -> Path:
    directory = Path("var/benchmark-types").absolute()
    directory.mkdir(parents=True, exist_ok=True)
    for policy in ("none", "every_call"):
        name = f"measured-{policy.replace('_', '-')}"
        (directory / f"{name}.toml").write_text(TYPE.format(name=name, policy=policy))
    return directory


def _run(running: Stack, kind: str, prompt: str, latency: float) -> dict[str, float | str]:
    handle = running.spawn(prompt, kind)
    running.await_state(handle, "terminated", seconds=900)
    lines = running.get(f"machines/{handle}/log/", limit=2000)["lines"]
    waited = [float(line["text"].split()[1]) for line in lines if line["text"].startswith("waited")]
    with psycopg.connect(running.environment["DATABASE_URL"]) as connection:
        found = connection.execute(
            "SELECT call.stall_ms FROM gateway_call call JOIN machines_machine m ON m.id = call.machine_id "
            "WHERE m.number = %s ORDER BY call.number",
            [int(handle[1:])],
        ).fetchall()
    # The first checkpoint reads the whole tree; the others are what an agent meets all the time.
    return {
        "latency_seconds": latency,
        "checkpoints": kind.removeprefix("measured-"),
        "answer_seconds_median": statistics.median(waited[1:]),
        "answer_seconds_worst": max(waited[1:]),
        "first_answer_seconds": waited[0],
        "stall_seconds_median": statistics.median(row[0] or 0 for row in found[1:]) / 1000,
    }


def _report(rows: list[dict[str, float | str]]) -> None:
    print(f"{'model':>7}  {'checkpoints':12}{'answer':>9}{'worst':>9}{'first':>9}{'stall':>9}")
    for row in rows:
        print(
            f"{row['latency_seconds']:>6}s  {row['checkpoints']:12}{row['answer_seconds_median']:>8.3f}s"
            f"{row['answer_seconds_worst']:>8.3f}s{row['first_answer_seconds']:>8.3f}s"
            f"{row['stall_seconds_median']:>8.3f}s"
        )
    pairs = {row["latency_seconds"]: row for row in rows if row["checkpoints"] == "none"}
    ratios = {
        str(row["latency_seconds"]): float(row["answer_seconds_median"])
        / float(pairs[row["latency_seconds"]]["answer_seconds_median"])
        for row in rows
        if row["checkpoints"] != "none"
    }
    print(json.dumps({"rows": rows, "answer_time_with_over_without": ratios}))


if __name__ == "__main__":
    main()
