"""Make a fixture from a recording: `python -m tests.proxmox.golden.distil RECORDING.jsonl > 9.2.jsonl.gz`.

A recording is one JSON object a line: phase, label, request {method, path, params, sent_as, auth}, response {status,
reason, json}. What differs from run to run becomes a placeholder: `{upid:N}` and `{pid:N}` are what step N was
answered, `{digest:N}` the configuration's digest then, `{time:V:K}` the time in the name of VM V's Kth backup. Polls
of a task become one step `wait`; its log, read at the end, stays a request.
"""

import gzip
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.proxmox.golden.shapes import reduced

_UPID = re.compile(r"UPID:[\w-]+:[0-9A-F]{8}:[0-9A-F]{8,9}:[0-9A-F]{8}:[^:\s/]+:[^:\s/]*:[^:\s/]+:")
_BACKUP = re.compile(r"(vzdump-qemu-(\d+)-)(\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d)")
_NOT_MADE_HERE = "2020_01_01"  # names of backups that never were
_PHASES = {"(login)": "agent"}
_SKIPPED = ("?",)
_PERL = " at /usr/share/perl5/"  # warnings of the computer that was recorded
MISSING = "property is missing and it is not optional"


class Names:
    """Placeholders for what differs from run to run, found in the order of the recording."""

    def __init__(self, exchanges: list[dict[str, Any]]) -> None:
        self._upids: dict[str, int] = {}
        self._digests: dict[str, int] = {}
        self._pids: dict[int, int] = {}
        text = json.dumps(exchanges)
        times: dict[str, list[str]] = {}
        for _, vmid, time in sorted(set(_BACKUP.findall(text))):
            if not time.startswith(_NOT_MADE_HERE):
                times.setdefault(vmid, []).append(time)
        self._times = times

    def learn(self, step: int, body: Any) -> None:
        """Remember what a step was answered."""
        data = body.get("data") if isinstance(body, dict) else None
        if isinstance(data, str) and _UPID.fullmatch(data):
            self._upids.setdefault(data, step)
        if isinstance(data, dict):
            if "pid" in data and len(data) == 1:
                self._pids[data["pid"]] = step
            self._digests.setdefault(str(data.get("digest")), step)
        if isinstance(data, list) and len(data) == 1 and "upid" in data[0]:
            self._upids[data[0]["upid"]] = step

    def step_of(self, upid: str) -> int:
        return self._upids[upid]

    def replaced(self, text: str) -> str:
        """A path, a parameter or a sentence with placeholders."""
        text = _UPID.sub(self._upid, unquote(text) if "UPID%3A" in text else text)
        return _BACKUP.sub(self._time, text)

    def parameter(self, name: str, value: Any) -> Any:
        if isinstance(value, list):
            return [self.parameter(name, item) for item in value]
        if name == "pid" and value in self._pids:
            return f"{{pid:{self._pids[value]}}}"
        if name == "digest" and value in self._digests:
            return f"{{digest:{self._digests[value]}}}"
        return self.replaced(value) if isinstance(value, str) else value

    def body(self, value: Any) -> Any:
        """Every string of a body with placeholders; UPIDs of which nothing is known by type only."""
        if isinstance(value, dict):
            return {key: self.body(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.body(inner) for inner in value]
        return self.replaced(value) if isinstance(value, str) else value

    def _upid(self, match: re.Match[str]) -> str:
        step = self._upids.get(match[0])
        return match[0] if step is None else f"{{upid:{step}}}"

    def _time(self, match: re.Match[str]) -> str:
        known = self._times.get(match[2], [])
        return f"{match[1]}{{time:{match[2]}:{known.index(match[3])}}}" if match[3] in known else match[0]


def distilled(exchanges: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The steps of a recording."""
    names = Names(exchanges)
    for exchange, after in zip(exchanges, [*exchanges[1:], exchanges[0]], strict=True):
        if exchange["phase"] in _SKIPPED or _is_poll_of_command(exchange, after):
            continue
        names.learn(exchange["seq"], exchange["response"]["json"])
        waited = _task_in(exchange)
        if waited is None:
            yield _request(exchange, names)
        elif waited["status"] == "stopped" and not exchange["label"].endswith("/status-running"):
            task = {key: names.replaced(waited[key]) for key in ("type", "id", "exitstatus")}
            yield {**_place(exchange), "wait": names.step_of(waited["upid"]), "task": task}


def _is_poll_of_command(exchange: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether a command in the guest was asked about while it ran, and again next."""
    again = exchange["request"] == after["request"] and exchange["request"]["path"].endswith("/exec-status")
    return again and after["response"]["status"] == 200


def _task_in(exchange: dict[str, Any]) -> dict[str, Any] | None:
    """What a poll of a task was answered, or None when the exchange is something else."""
    request, response = exchange["request"], exchange["response"]
    polled = request["method"] == "GET" and re.search(r"/tasks/UPID[^/]+/status$", request["path"])
    if polled and response["status"] == 200 and exchange["label"] != "running task status":
        return dict(response["json"]["data"])
    return None


def _place(exchange: dict[str, Any]) -> dict[str, Any]:
    phase = _PHASES.get(exchange["phase"], exchange["phase"])
    return {"step": exchange["seq"], "phase": phase, "label": exchange["label"]}


def _request(exchange: dict[str, Any], names: Names) -> dict[str, Any]:
    request, response = exchange["request"], exchange["response"]
    body = names.body(response["json"])
    path = names.replaced(request["path"])
    if isinstance(body, dict) and "success" in body:
        path = path.replace("/api2/json/", "/api2/extjs/")  # the recorder wrote down the path alone
    params = {name: names.parameter(name, value) for name, value in (request["params"] or {}).items()}
    answer = {"status": response["status"], "reason": names.replaced(response["reason"])}
    if isinstance(body, dict):
        answer |= {key: body[key] for key in ("message", "errors") if key in body}
        if body.get("errors", {}).get("password") == "REDACTED":  # the recorder's; nothing was sent
            answer["errors"] = {"password": MISSING}
        if path.endswith("/log") and isinstance(body["data"], list):
            answer["log"] = [row["t"] for row in body["data"] if _PERL not in row["t"]]
        answer["body"] = reduced(
            {key: value for key, value in body.items() if key not in {"message", "errors"}}
        )
    return {
        **_place(exchange),
        "method": request["method"],
        "path": path,
        "params": params,
        "sent_as": request["sent_as"],
        "auth": request["auth"],
        "answer": answer,
    }


def main() -> None:
    with Path(sys.argv[1]).open(encoding="utf-8") as recording:
        exchanges = [json.loads(line) for line in recording]
    lines = "".join(json.dumps(step, sort_keys=True) + "\n" for step in distilled(exchanges))
    sys.stdout.buffer.write(gzip.compress(lines.encode(), mtime=0))


if __name__ == "__main__":
    main()
