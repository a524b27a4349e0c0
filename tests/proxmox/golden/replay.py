"""Play a distilled recording against an embedded node and say what it answers differently.

Phases build on each other's VMs; `script.REQUIRES` says which must have been played before.
Tasks are waited for rather than polled, and so are guests that boot.
"""

import gzip
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from tests.node_process import NodeProcess, start_node
from tests.proxmox.golden import script
from tests.proxmox.golden.compare import compared, described, telling

_HOLE = re.compile(r"{(upid|pid|digest|time):(\d+)(?::(\d+))?}")


class Unplayable(Exception):
    """A request that cannot be made, because an earlier one was not answered as recorded."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One step, and what was different."""

    step: dict[str, Any]
    differences: tuple[str, ...]

    @property
    def label(self) -> str:
        return str(self.step["label"])


def steps(release: str) -> list[dict[str, Any]]:
    """The distilled recording of a release."""
    path = Path(__file__).with_name(f"{release}.jsonl.gz")
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]


@contextmanager
def player(directory: Path, release: str) -> Iterator["Player"]:
    """A fresh node that behaves like a release, ready to be played to."""
    with start_node(directory, release=release, **script.OPTIONS) as node:
        yield Player(node, release)


class Player:
    """Plays phases to one node, each at most once."""

    def __init__(self, node: NodeProcess, release: str) -> None:
        self.release = release
        self._node = node
        self._session = requests.Session()
        self._session.headers["Connection"] = "close"
        self._steps = steps(release)
        self._outcomes: dict[str, list[Outcome]] = {}
        self._answers: dict[int, Any] = {}  # step → `data` of its answer
        self._backups: dict[str, list[str]] = {}  # VMID → times in the names of its backups
        self._secrets = {"root@pam!lab": script.SECRET}
        self._tickets: dict[str, tuple[str, str]] = {}
        self._prepare()

    def play(self, phase: str) -> list[Outcome]:
        """Play a phase, and first those that it requires."""
        for earlier in script.REQUIRES.get(phase, ()):
            self.play(earlier)
        if phase not in self._outcomes:
            if phase == "generic":
                time.sleep(script.OPTIONS["staleness_seconds"])  # until the cluster knows of VM 9000
            if phase in script.NEEDS_BACKUPS[self.release]:
                self._make_backups()
            played = [step for step in self._steps if step["phase"] == phase]
            self._outcomes[phase] = [Outcome(step, tuple(self._differences(step))) for step in played]
        return self._outcomes[phase]

    def play_all(self) -> dict[str, list[Outcome]]:
        """Play everything, in the order of the recording."""
        for phase in dict.fromkeys(step["phase"] for step in self._steps):
            self.play(phase)
        return self._outcomes

    def _differences(self, step: dict[str, Any]) -> Iterator[str]:
        try:
            if "wait" in step:
                yield from self._compared_task(step)
                return
            if step["label"] in script.READY:
                self._await_guest()
            live = self._answer(step)
            recorded = self._expected(step["answer"])
            if not _is_interim(step) or recorded["status"] != live["status"]:
                yield from compared(recorded, live)
            if step["label"] in script.UNDO:
                self._done(*script.UNDO[step["label"]])
        except Unplayable as reason:
            yield f"not played: {reason}"

    # --- requests ---

    def _answer(self, step: dict[str, Any]) -> dict[str, Any]:
        """The node's answer in the form that the recording has."""
        response = self._patient(step)
        answer = described(response)
        body = response.json() if response.content else None
        data = body.get("data") if isinstance(body, dict) else None
        self._answers[step["step"]] = data
        if step["path"].endswith("/access/ticket") and isinstance(data, dict):
            self._tickets[data["username"]] = (data["ticket"], data["CSRFPreventionToken"])
        if "/token/" in step["path"] and step["method"] == "POST" and isinstance(data, dict):
            self._secrets[data["full-tokenid"]] = data["value"]
        if (self.release, step["label"]) in script.SLOW:
            time.sleep(script.BEGUN_SECONDS)
        return answer

    def _patient(self, step: dict[str, Any]) -> requests.Response:
        """Ask; again while the guest boots, or while its command runs, if the recording is of afterwards."""
        deadline = time.monotonic() + script.SECONDS
        while True:
            response = self._ask(step)
            if not _too_early(step, response) or time.monotonic() > deadline:
                return response
            time.sleep(0.02)

    def _ask(self, step: dict[str, Any]) -> requests.Response:
        path = self._filled(step["path"])
        params = {name: self._parameter(step, name, value) for name, value in step["params"].items()}
        sent: dict[str, Any] = {"params": params} if step["sent_as"] == "query" else {"data": params}
        if step["sent_as"] == "json":
            sent = {"json": params}
        if step["sent_as"] == "multipart":
            name = script.FILES.get(step["label"], "golden.iso")
            sent = {"data": params, "files": {"filename": (name, b"\0" * 2048)}}
        headers = self._headers(step["auth"], step["label"])
        if seconds := script.SLOW.get((self.release, step["label"])):
            headers["X-Fault"] = f"slow-task;seconds={seconds}"
        return self._session.request(
            step["method"],
            self._node.url + quote(path, safe="/:@!%"),
            headers=headers,
            timeout=script.SECONDS,
            **sent,
        )

    def _headers(self, auth: dict[str, Any], label: str) -> dict[str, str]:
        name = str(auth["name"])
        if auth["kind"] == "token":
            secret = self._secrets.get(name, "11111111-0000-4000-8000-000000000000")
            value = name if name.startswith("malformed") else f"{name.partition('(')[0]}={secret}"
            return {"Authorization": f"PVEAPIToken={value}" if name != "malformed2" else "PVEAPIToken"}
        if auth["kind"] == "none":
            return {}
        user, _, broken = name.partition("(")
        ticket, csrf = self._tickets.get(user, ("garbage", ""))
        if broken:
            ticket = f"PVE:{user}:{int(time.time()) - 3 * 3600:08X}::c2lnbmF0dXJl"
        elif "broken signature" in label:
            ticket = ticket[:-8] + "AAAAAAA="
        csrf = "bad" if "bad CSRF" in label or "expired" in label else csrf
        return {"Cookie": f"PVEAuthCookie={quote(ticket)}"} | (
            {"CSRFPreventionToken": csrf} if auth["csrf"] else {}
        )

    # --- placeholders ---

    def _parameter(self, step: dict[str, Any], name: str, value: Any) -> Any:
        if name == "password" and value == "REDACTED":
            user = step["params"].get("username")
            if "ticket as password" in step["label"]:
                return self._tickets.get(user, ("", ""))[0]
            return "wrong" if "bad password" in step["label"] else script.PASSWORD
        return self._filled(value) if isinstance(value, str) else value

    def _filled(self, text: str) -> str:
        return _HOLE.sub(self._value, text)

    def _value(self, hole: re.Match[str]) -> str:
        kind, number, index = hole.groups()
        if kind == "time":
            return self._backup_time(number, int(index))
        data = self._answers.get(int(number))
        if isinstance(data, list) and data and kind == "upid":
            data = data[0]["upid"]
        value = data.get(kind) if isinstance(data, dict) else data
        if value is None:
            raise Unplayable(f"step {number} gave no {kind}")
        return quote(str(value), safe="") if kind == "upid" else str(value)

    def _expected(self, answer: Any) -> Any:
        """What was recorded, with the names that backups have here."""
        if isinstance(answer, dict):
            told = {key: list(telling(value)) if key == "log" else value for key, value in answer.items()}
            return {key: self._expected(value) for key, value in told.items()}
        if isinstance(answer, list):
            return [self._expected(value) for value in answer]
        return self._filled(answer) if isinstance(answer, str) and "{time:" in answer else answer

    def _backup_time(self, vmid: str, index: int) -> str:
        known = self._backups.setdefault(vmid, [])
        if len(known) <= index:
            rows = self._get(f"/nodes/pve1/storage/local/content?content=backup&vmid={vmid}")
            found = [re.search(r"-\d+-([\d_-]+)\.", row["volid"]) for row in rows]
            known += sorted({match[1] for match in found if match} - set(known))
        if len(known) <= index:
            raise Unplayable(f"VM {vmid} has no backup number {index}")
        return known[index]

    # --- tasks ---

    def _compared_task(self, step: dict[str, Any]) -> Iterator[str]:
        upid = self._answers.get(step["wait"])
        if not isinstance(upid, str):
            raise Unplayable(f"step {step['wait']} began no task")
        fields = upid.split(":")
        if len(fields) != 9:
            yield f"task: {upid!r} is no UPID"
            return
        status = self._ended(upid)
        for name, recorded in step["task"].items():
            live = str(status[name])
            if live != self._filled(str(recorded)):
                yield f"task.{name}: {live!r}, not {recorded!r}"

    def _ended(self, upid: str) -> dict[str, Any]:
        deadline = time.monotonic() + script.SECONDS
        while time.monotonic() < deadline:
            status: dict[str, Any] = self._get(f"/nodes/pve1/tasks/{quote(upid, safe='')}/status")
            if status["status"] == "stopped":
                return status
            time.sleep(0.01)
        raise Unplayable(f"{upid} does not end")

    def _await_guest(self) -> None:
        url, deadline = (
            f"{self._node.url}/api2/json/nodes/pve1/qemu/200/agent/ping",
            time.monotonic() + script.SECONDS,
        )
        while time.monotonic() < deadline:
            if self._session.post(url, headers=self._node.headers, timeout=script.SECONDS).ok:
                return
            time.sleep(0.05)
        raise Unplayable("the guest does not boot")

    def _get(self, path: str) -> Any:
        answer = self._session.get(
            f"{self._node.url}/api2/json{path}", headers=self._node.headers, timeout=script.SECONDS
        )
        answer.raise_for_status()
        return answer.json()["data"]

    # --- what the recording found ---

    def _prepare(self) -> None:
        """The VM 9000 that clones are made of, off and no template; a storage that takes no images to import."""
        self._done("DELETE", "qemu/9000")
        self._done("POST", "qemu", **script.GUEST, vmid=9000, name="guestbase")
        url = f"{self._node.url}/api2/json/storage/local"
        content = {"content": "images,iso,backup,snippets,vztmpl,rootdir"}
        self._session.put(
            url, headers=self._node.headers, data=content, timeout=script.SECONDS
        ).raise_for_status()

    def _make_backups(self) -> None:
        """Two backups of VM 140, which is gone."""
        if "140" in self._backups:
            return
        self._done("POST", "qemu", **script.GUEST, vmid=140)
        for compress in ("zstd", "0"):
            self._done("POST", "vzdump", vmid=140, storage="local", compress=compress)
            time.sleep(1)  # their names tell seconds
        self._done("DELETE", "qemu/140")
        self._backup_time("140", 1)

    def _done(self, method: str, path: str, **params: Any) -> None:
        url = f"{self._node.url}/api2/json/nodes/pve1/{path}"
        answer = self._session.request(
            method, url, headers=self._node.headers, data=params or None, timeout=script.SECONDS
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.reason} {answer.text}"
        status = self._ended(answer.json()["data"])
        assert status["exitstatus"] == "OK", f"{method} {path}: {status}"


def _too_early(step: dict[str, Any], response: requests.Response) -> bool:
    if "/agent/" in step["path"] and step["answer"]["status"] == 200 and response.status_code == 500:
        return "QEMU guest agent is not running" in response.text
    if step["path"].endswith("/exec-status") and response.ok and "first status only" not in step["label"]:
        return not response.json()["data"]["exited"]
    return False


def _is_interim(step: dict[str, Any]) -> bool:
    """Whether a command was still running when it was asked about; guests that are processes are quicker."""
    if not step["path"].endswith("/exec-status") or "first status only" in step["label"]:
        return False
    return bool(step["answer"]["status"] == 200 and step["answer"]["body"]["data"]["exited"]["is"] == 0)
