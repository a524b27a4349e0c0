"""A live answer beside a recorded one."""

import re
from collections.abc import Iterator
from typing import Any

import requests

from tests.proxmox.golden.shapes import differences, reduced

# Lines of task logs that tell of disk formats, amounts, processes, and of locks that happened not to be free.
_NOISE = re.compile(
    r"Formatting|transferred|.*\d (?:[KMG]i)?B |.*MiB|.* \d+(?:\.\d+)?s|INFO: (?:started|  |status|resuming|stopping)"
    r"|.*(?:drive-|mirror|/var/|process|pid|uuid|CTIME|DEV:|progress)|trying to acquire lock|(?:INFO:)? OK$"
)
_MASKS = (  # times, durations and sizes
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\(\d\d:\d\d:\d\d\)"), "<time>"),
    (re.compile(r"(?<=size: )\d+(?:\.\d+)?[KMG]?B"), "<size>"),
)


def described(response: requests.Response) -> dict[str, Any]:
    answer: dict[str, Any] = {"status": response.status_code, "reason": response.reason}
    if not response.content:
        return answer
    body = response.json()
    answer |= {key: body[key] for key in ("message", "errors") if key in body}
    answer["body"] = reduced({key: value for key, value in body.items() if key not in {"message", "errors"}})
    if isinstance(body.get("data"), list):
        answer["log"] = [row.get("t") for row in body["data"] if isinstance(row, dict)]
    return answer


def compared(recorded: dict[str, Any], live: dict[str, Any]) -> Iterator[str]:
    if recorded["status"] != live["status"]:
        yield f"status: {live['status']} {live['reason']}, not {recorded['status']} {recorded['reason']}"
        return
    for key in ("reason", "message", "errors"):
        if recorded.get(key) != live.get(key):
            yield f"{key}: {live.get(key)!r}, not {recorded.get(key)!r}"
    if ("body" in recorded) != ("body" in live):
        yield f"body: {'there is one' if 'body' in live else 'there is none'}"
    elif "body" in recorded:
        yield from (
            text.removeprefix("body.") for text in differences(recorded["body"], live["body"], "body")
        )
    if "log" in recorded:
        yield from _compared_log(recorded["log"], live.get("log", []))


def _compared_log(recorded: list[str], live: list[str]) -> Iterator[str]:
    told, expected = list(telling(live)), list(telling(recorded))
    yield from (f"log: no line {line!r}" for line in expected if line not in told)
    yield from (f"log: a line {line!r}" for line in told if line not in expected)


def telling(lines: list[str]) -> Iterator[str]:
    """Lines without noise; the options of a backup job are in no particular order."""
    for line in lines:
        if _NOISE.match(line):
            continue
        for pattern, mask in _MASKS:
            line = pattern.sub(mask, line)
        head, *options = line.split(" --")
        yield " --".join((head, *sorted(options)))
