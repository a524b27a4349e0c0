"""An embedded node, and a plain HTTP client of its API."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.node_process import NodeProcess, start_node

TEMPLATE = 9000
SECONDS = 20


class Api:
    """Requests to one node. Paths are below the node's own; `/…` is below the API's root."""

    def __init__(self, node: NodeProcess) -> None:
        self.node = node
        self._session = requests.Session()
        self._session.headers.update({**node.headers, "Connection": "close"})

    def call(
        self, method: str, path: str, /, headers: dict[str, str] | None = None, **parameters: Any
    ) -> requests.Response:
        below = path if path.startswith("/") else f"/nodes/{self.node.name}/{path}"
        place = "params" if method in {"GET", "DELETE"} else "data"
        sent = {name.replace("_", "-"): value for name, value in parameters.items()}
        url = f"{self.node.url}/api2/json{below}"
        return self._session.request(method, url, headers=headers, **{place: sent}, timeout=60)

    def get(self, path: str, /, **parameters: Any) -> Any:
        return self._data(self.call("GET", path, **parameters))

    def post(self, path: str, /, **parameters: Any) -> Any:
        return self._data(self.call("POST", path, **parameters))

    def put(self, path: str, /, **parameters: Any) -> Any:
        return self._data(self.call("PUT", path, **parameters))

    def delete(self, path: str, /, **parameters: Any) -> Any:
        return self._data(self.call("DELETE", path, **parameters))

    def ended(self, upid: str) -> str:
        """How a task ended."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            status = self.get(f"tasks/{upid}/status")
            if status["status"] == "stopped":
                return str(status["exitstatus"])
            time.sleep(0.01)
        raise AssertionError(f"{upid} did not end; the node says: {self.node.log}")

    def done(self, upid: str) -> None:
        """The task ends well."""
        assert self.ended(upid) == "OK", self.node.log

    def clone(self, newid: int, source: int = TEMPLATE, **parameters: Any) -> int:
        self.done(self.post(f"qemu/{source}/clone", newid=newid, **parameters))
        return newid

    def start(self, vmid: int) -> None:
        self.done(self.post(f"qemu/{vmid}/status/start"))

    def stop(self, vmid: int) -> None:
        self.done(self.post(f"qemu/{vmid}/status/stop"))

    def snapshot(self, vmid: int, name: str) -> None:
        self.done(self.post(f"qemu/{vmid}/snapshot", snapname=name))

    def run(self, vmid: int, script: str, **parameters: Any) -> dict[str, Any]:
        """Run a script in the guest; how it ended."""
        pid = self.post(f"qemu/{vmid}/agent/exec", command=["/bin/sh", "-c", script], **parameters)["pid"]
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            status: dict[str, Any] = self.get(f"qemu/{vmid}/agent/exec-status", pid=pid)
            if status["exited"]:
                return status
            time.sleep(0.01)
        raise AssertionError(f"The command did not end: {script}")

    def out(self, vmid: int, script: str) -> str:
        """What a script printed."""
        status = self.run(vmid, script)
        assert status.get("exitcode") == 0, status
        return str(status.get("out-data", ""))

    def write(self, vmid: int, path: str, content: str) -> None:
        self.post(f"qemu/{vmid}/agent/file-write", file=path, content=content)

    def read(self, vmid: int, path: str) -> str:
        return str(self.get(f"qemu/{vmid}/agent/file-read", file=path)["content"])

    def fault(self, **fault: Any) -> None:
        requests.post(
            f"{self.node.url}/fault", headers=self.node.headers, json=fault, timeout=5
        ).raise_for_status()

    def clear_faults(self) -> None:
        requests.delete(f"{self.node.url}/fault", headers=self.node.headers, timeout=5).raise_for_status()

    def disk(self, vmid: int) -> Path:
        """Where the guest's files are on this computer."""
        return self.node.state / "guests" / str(vmid) / "disk"

    def _data(self, response: requests.Response) -> Any:
        assert response.status_code == 200, f"{response.status_code} {response.reason} {response.text}"
        return response.json()["data"]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node like LVM-thin, that accepts faults. Shared by a module: tests use VMIDs of their own."""
    with start_node(tmp_path_factory.mktemp("node"), faults=True) as running:
        yield running


@pytest.fixture(scope="module", params=["sandboxed", "plain"])
def either_node(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NodeProcess]:
    """A node with sandboxed guests, and one whose guests are plain processes."""
    with start_node(tmp_path_factory.mktemp("node"), sandbox=request.param == "sandboxed") as running:
        yield running


@pytest.fixture
def api(node: NodeProcess) -> Api:
    return Api(node)


@pytest.fixture
def either(either_node: NodeProcess) -> Api:
    return Api(either_node)
