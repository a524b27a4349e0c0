"""How long an agent waits for checkpoints: one that calls the gateway over and over, with and without them."""

import statistics
from pathlib import Path
from typing import Any

import psycopg

from tests.e2e.stack import Stack

WITHOUT, WITH = "measured-none", "measured-every-call"

# Makes a tree, calls the gateway as an agent does, and changes files spread over the tree after each answer.
AGENT = """
import json, os, pathlib, time, urllib.request
files, changed, calls = {files}, {changed}, {calls}
def path(n):
    return pathlib.Path("tree", str(n // 100), f"{{n}}.txt")
for n in range(files):
    path(n).parent.mkdir(parents=True, exist_ok=True)
    path(n).write_text(f"file {{n}}\\n" * 20)
for turn in range(calls):
    messages = [{{"role": "user", "content": f"turn {{turn}}"}}]
    body = {{"model": "claude-sonnet-4-5", "max_tokens": 200, "messages": messages}}
    request = urllib.request.Request(
        os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages",
        json.dumps(body).encode(),
        {{"Authorization": "Bearer " + os.environ["ANTHROPIC_AUTH_TOKEN"], "Content-Type": "application/json"}},
    )
    urllib.request.urlopen(request, timeout=600).read()
    if turn == 0:
        began = time.monotonic()
    for n in range(changed):
        path((n * (files // changed) + turn) % files).write_text(f"turn {{turn}}, file {{n}}\\n")
print("ran", time.monotonic() - began, flush=True)
"""

TYPE = """
name = "{name}"
title = "Measured agent"
summary = "Calls the gateway and writes files, over and over."
good_at = []
checkpoints = "{policy}"
default_model = "claude-sonnet-4-5"
command = 'exec python3 "$AUTOVIBE_PROMPT_FILE"'
[environment]
ANTHROPIC_BASE_URL = "{{gateway}}"
ANTHROPIC_AUTH_TOKEN = "{{token}}"
"""


def types() -> Path:
    """The directory with the two types of machine that are measured."""
    directory = Path("var/benchmark-types").absolute()
    directory.mkdir(parents=True, exist_ok=True)
    for name, policy in ((WITHOUT, "none"), (WITH, "every_call")):
        (directory / f"{name}.toml").write_text(TYPE.format(name=name, policy=policy))
    return directory


def measure(running: Stack, latency: int, files: int, changed: int, calls: int) -> dict[str, Any]:
    """One cell of the grid: the same run without checkpoints and with one at every call."""
    prompt = AGENT.format(files=files, changed=changed, calls=calls)
    plain_seconds, _ = _run(running, WITHOUT, prompt)
    seconds, handle = _run(running, WITH, prompt)
    first, *stalls = _stalls(running, handle)
    return {
        "latency_seconds": latency,
        "files": files,
        "changed": changed,
        "calls": calls,
        "first_stall_ms": first,
        "stall_p50_ms": statistics.median(stalls),
        "stall_p95_ms": percentile(stalls, 95),
        "run_seconds": seconds,
        "run_seconds_without": plain_seconds,
        "run_time_loss": seconds / plain_seconds - 1,
        "skipped_share": _skipped(running, handle),
    }


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _run(running: Stack, kind: str, prompt: str) -> tuple[float, str]:
    """Seconds from the first answer to the end, and the machine."""
    handle = running.spawn(prompt, kind)
    running.await_state(handle, "terminated", seconds=7200)
    lines = running.get(f"machines/{handle}/log/", limit=2000)["lines"]
    (ran,) = (float(line["text"].split()[1]) for line in lines if line["text"].startswith("ran "))
    return ran, handle


def _stalls(running: Stack, handle: str) -> list[float]:
    """What the gateway held each answer back, in milliseconds. The first checkpoint reads the whole tree."""
    query = """
        SELECT call.stall_ms FROM gateway_call call JOIN machines_machine m ON m.id = call.machine_id
        WHERE m.number = %s ORDER BY call.number
    """
    with psycopg.connect(running.environment["DATABASE_URL"]) as connection:
        return [float(ms or 0) for (ms,) in connection.execute(query, [int(handle[1:])])]


def _skipped(running: Stack, handle: str) -> float | None:
    """The share of turns whose checkpoint took no snapshot of its own."""
    query = """
        SELECT avg((c.shares_id IS NOT NULL)::int)
        FROM checkpoints_checkpoint c JOIN machines_machine m ON c.origin = 'machine:' || m.id
        WHERE m.number = %s AND c.kind = 'automatic' AND c.call_id IS NOT NULL
    """
    with psycopg.connect(running.environment["DATABASE_URL"]) as connection:
        row = connection.execute(query, [int(handle[1:])]).fetchone()
    return None if row is None or row[0] is None else float(row[0])
