"""The driver over proxmoxer: absorbs its habits and Proxmox's, and knows nothing of what the VMs are for.

Times out after the server's own 30 s (so that its 596 arrives first), sends booleans as 0/1, coerces numbers
that arrive as strings, reads a task's end from its exit status, and turns every failure into `proxmox.errors`.
"""

import base64
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import requests
from proxmoxer import ProxmoxAPI, ResourceException

from proxmox import errors
from proxmox.driver import VM, Clone, Driver, Observed, Power, Ran, Snapshot, Task

# pveproxy gives a proxied call 30 s and then answers 596 itself (pve-manager: AnyEvent.pm).
TIMEOUT_SECONDS = 35
READ_ATTEMPTS = 3
UNKNOWN_TASK = "unexpected status"
MARK = "autovibe"

logger = logging.getLogger(__name__)


class PveDriver(Driver):
    """One connection to a Proxmox VE API. Not thread-safe: each thread makes its own, which costs no request."""

    def __init__(self, url: str, token: str, *, verify_tls: bool | str = True) -> None:
        """`token` is `user@realm!name=secret`; `verify_tls` may be the path of a CA bundle."""
        self._read = _api(url, token, verify_tls)
        # pveproxy closes idle connections after 5 s; a write on a dying one would have an unknown outcome.
        self._write = _api(url, token, verify_tls)
        self._write._store["session"].headers["Connection"] = "close"
        self._token_user = token.partition("=")[0]

    # --- cluster ---

    def version(self) -> str:
        return str(self._get("version")["version"])

    def ensure_pool(self, pool: str) -> None:
        with contextlib.suppress(errors.Exists):
            self._change("post", "pools", poolid=pool)

    def inventory(self) -> list[Observed]:
        rows = {
            int(row["vmid"]): row
            for row in self._get("cluster/resources", type="vm")
            if row["type"] == "qemu"
        }
        # Only a node's own full list tells a frozen guest from a running one (qmpstatus).
        for node in {row["node"] for row in rows.values() if row.get("status") == "running"}:
            for row in self._get(f"nodes/{node}/qemu", full=1):
                rows.setdefault(int(row["vmid"]), {"node": node}).update(row)
        return [_observed(row) for row in rows.values()]

    def observe(self, vm: VM) -> Observed:
        return _observed({"node": vm.node, **self._get(f"{_path(vm)}/status/current")})

    def config(self, vm: VM) -> dict[str, str]:
        return {key: str(value) for key, value in self._get(f"{_path(vm)}/config").items()}

    def configure(self, vm: VM, config: Mapping[str, str | int]) -> None:
        self._change("put", f"{_path(vm)}/config", **config)

    # --- VMs ---

    def supports(self, vm: VM, feature: str, snapshot: str = "") -> bool:
        answer = self._get(f"{_path(vm)}/feature", feature=feature, snapname=snapshot or None)
        return bool(int(answer["hasFeature"]))

    def clone(self, clone: Clone) -> str | None:
        return self._submit(
            "post",
            f"{_path(clone.source)}/clone",
            newid=clone.target.vmid,
            name=clone.name,
            description=clone.description,
            pool=clone.pool,
            snapname=clone.snapshot or None,
            full=int(clone.full),
        )

    def start(self, vm: VM) -> str | None:
        return self._submit("post", f"{_path(vm)}/status/start")

    def stop(self, vm: VM) -> str | None:
        self._prove_ours(vm)
        return self._submit("post", f"{_path(vm)}/status/stop")

    def suspend(self, vm: VM) -> str | None:
        return self._submit("post", f"{_path(vm)}/status/suspend")

    def resume(self, vm: VM) -> str | None:
        return self._submit("post", f"{_path(vm)}/status/resume")

    def destroy(self, vm: VM) -> str | None:
        self._prove_ours(vm)
        return self._submit("delete", _path(vm), purge=1)

    def snapshots(self, vm: VM) -> list[Snapshot]:
        return [
            Snapshot(
                name=row["name"],
                parent=row.get("parent", ""),
                description=row.get("description", ""),
                complete="snapstate" not in row,
            )
            for row in self._get(f"{_path(vm)}/snapshot")
            if row["name"] != "current"
        ]

    def snapshot(self, vm: VM, name: str, description: str) -> str | None:
        self._prove_ours(vm)
        return self._submit("post", f"{_path(vm)}/snapshot", snapname=name, description=description)

    def rollback(self, vm: VM, name: str) -> str | None:
        self._prove_ours(vm)
        return self._submit("post", f"{_path(vm)}/snapshot/{name}/rollback")

    def _prove_ours(self, vm: VM) -> None:
        """Ownership is a tag and the owner's id in the description: both, or nothing destructive is done."""
        config = self.config(vm)
        tags = config.get("tags", "").replace(",", ";").split(";")
        if not vm.owner or vm.owner not in config.get("description", "") or MARK not in tags:
            raise errors.NotOurs(
                f"VM {vm.vmid} on {vm.node} does not carry autovibe's mark; it is left alone."
            )

    # --- tasks ---

    def tasks(self, upids: Sequence[str]) -> list[Task]:
        by_node: dict[str, list[str]] = {}
        for upid in upids:
            by_node.setdefault(_node_of(upid), []).append(upid)
        return [task for node, wanted in by_node.items() for task in self._tasks_on(node, wanted)]

    def _tasks_on(self, node: str, upids: list[str]) -> Iterator[Task]:
        listed: dict[str, str] = {}
        if len(upids) > 2:  # one list answers for all of them
            rows = self._get(f"nodes/{node}/tasks", source="all", limit=500, since=_since(upids))
            listed = {
                row["upid"]: str(row["status"]) for row in rows if row.get("endtime") and row.get("status")
            }
        for upid in upids:
            yield Task(upid, listed[upid]) if upid in listed else self._task(node, upid)

    def _task(self, node: str, upid: str) -> Task:
        try:
            status = self._get(f"nodes/{node}/tasks/{upid}/status")
        except errors.ProxmoxError as error:
            if "no such task" in str(error):
                return Task(upid, UNKNOWN_TASK)
            raise
        return Task(
            upid, str(status.get("exitstatus", UNKNOWN_TASK)) if status["status"] == "stopped" else ""
        )

    def find_task(self, node: str, kind: str, vmid: int, since: float) -> str:
        rows = self._get(
            f"nodes/{node}/tasks", source="all", typefilter=kind, vmid=vmid, since=int(since) - 5
        )
        ours = [row for row in rows if self._token_user in row["upid"]]
        return max(ours, key=lambda row: int(row["starttime"]))["upid"] if ours else ""

    def task_log(self, upid: str) -> str:
        rows = self._get(f"nodes/{_node_of(upid)}/tasks/{upid}/log", limit=500)
        return "\n".join(row["t"] for row in rows[-20:]) if isinstance(rows, list) else ""

    # --- guest agent ---

    def agent_answers(self, vm: VM) -> bool:
        try:
            self._change("post", f"{_path(vm)}/agent/ping")
        except (errors.AgentAbsent, errors.Transient):
            return False
        return True

    def run(self, vm: VM, script: str, *arguments: str, seconds: float = 30) -> Ran:
        # A missing program answers 596 and a wedged agent; /bin/sh is always there.
        command = ["/bin/sh", "-c", script, "sh", *arguments]
        pid = self._change("post", f"{_path(vm)}/agent/exec", command=command)["pid"]
        deadline, pause = time.monotonic() + seconds, 0.01
        while time.monotonic() < deadline:
            # The answer that says `exited` can be had once; it must not be retried.
            status = self._get(f"{_path(vm)}/agent/exec-status", attempts=1, pid=pid)
            if int(status["exited"]):
                return _ran(status)
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)
        raise errors.UnknownOutcome(f"A command in guest {vm.vmid} did not end within {seconds:.0f} s.")

    def write(self, vm: VM, path: str, content: bytes) -> None:
        # With encode=1 Proxmox would encode characters, not bytes, and corrupt UTF-8.
        encoded = base64.b64encode(content).decode()
        self._change("post", f"{_path(vm)}/agent/file-write", file=path, content=encoded, encode=0)

    def read(self, vm: VM, path: str) -> bytes:
        answer = self._get(f"{_path(vm)}/agent/file-read", file=path)
        if answer.get("truncated"):
            raise errors.Capacity(
                f"{path} in guest {vm.vmid} is larger than the agent can hand out (16 MiB)."
            )
        # Bytes arrive as the code points U+0000–U+00FF.
        return str(answer["content"]).encode("latin-1")

    # --- HTTP ---

    def _get(self, path: str, *, attempts: int = READ_ATTEMPTS, **parameters: Any) -> Any:
        for attempt in range(1, attempts + 1):
            try:
                return _call(lambda: self._read(path).get(**parameters))
            except errors.UnknownOutcome:
                if attempt == attempts:
                    raise
                time.sleep(0.2 * attempt)
        raise AssertionError("unreachable")

    def _change(self, method: str, path: str, **parameters: Any) -> Any:
        return _call(lambda: getattr(self._write(path), method)(**parameters))

    def _submit(self, method: str, path: str, **parameters: Any) -> str | None:
        answer = self._change(method, path, **parameters)
        return answer if isinstance(answer, str) and answer.startswith("UPID:") else None


def _call(request: Callable[[], Any]) -> Any:
    try:
        return request()
    except ResourceException as error:
        text = str(error.content or "")
        if isinstance(error.errors, dict) and "errors" not in error.errors:
            text += " " + "; ".join(f"{name}: {reason}" for name, reason in error.errors.items())
        raise errors.classify(text.strip(), error.status_code) from None
    except requests.exceptions.ConnectTimeout as error:
        raise errors.Transient(f"Proxmox cannot be reached: {_reason(error)}") from None
    except requests.exceptions.ConnectionError as error:
        # Refused before anything was sent is safe to repeat; anything later may have been done.
        kind = errors.Transient if "NewConnectionError" in repr(error) else errors.UnknownOutcome
        raise kind(f"Proxmox cannot be reached: {_reason(error)}") from None
    except requests.exceptions.RequestException as error:
        raise errors.UnknownOutcome(f"Proxmox did not answer: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return str(error).rpartition(": ")[2].strip("')\" ") or type(error).__name__


def _api(url: str, token: str, verify_tls: bool | str) -> ProxmoxAPI:
    identity, _, secret = token.partition("=")
    user, _, name = identity.partition("!")
    parts = urlsplit(url)
    api = ProxmoxAPI(
        parts.hostname,
        port=parts.port or (443 if parts.scheme == "https" else 80),
        user=user,
        token_name=name,
        token_value=secret,
        verify_ssl=verify_tls,
        timeout=TIMEOUT_SECONDS,
    )
    # proxmoxer only speaks https; the embedded node is plain HTTP on the loopback interface.
    api._store["base_url"] = f"{parts.scheme}://{parts.netloc}/api2/json"
    return api


def _path(vm: VM) -> str:
    return f"nodes/{vm.node}/qemu/{vm.vmid}"


def _node_of(upid: str) -> str:
    return upid.split(":")[1]


def _since(upids: Iterable[str]) -> int:
    """The earliest start among UPIDs; their fifth field is the start as hexadecimal Unix time."""
    return min(int(upid.split(":")[4], 16) for upid in upids) - 5


def _observed(row: Mapping[str, Any]) -> Observed:
    return Observed(
        node=str(row["node"]),
        vmid=int(row["vmid"]),
        name=str(row.get("name", "")),
        power=_power(row),
        lock=str(row.get("lock") or ""),
        tags=frozenset(filter(None, str(row.get("tags") or "").replace(",", ";").split(";"))),
        template=bool(int(row.get("template") or 0)),
        uptime_seconds=int(row.get("uptime") or 0),
        cpu=float(row.get("cpu") or 0),
        memory_bytes=int(row.get("mem") or 0),
    )


def _power(row: Mapping[str, Any]) -> Power:
    detail = row.get("qmpstatus", "")
    if detail in {Power.PAUSED, Power.IO_ERROR}:
        return Power(detail)
    known = {"running": Power.RUNNING, "stopped": Power.STOPPED}
    return known.get(str(row.get("status")), Power.UNKNOWN)


def _ran(status: Mapping[str, Any]) -> Ran:
    code = int(status["exitcode"]) if "exitcode" in status else 128 + int(status.get("signal", 0))
    out, err = (str(status.get(name, "")).encode("latin-1") for name in ("out-data", "err-data"))
    return Ran(code, out, err)
