"""A person at the node's own command line: types the `qm` commands that a sentence of autovibe tells them to."""

import re
import time
from dataclasses import dataclass, field

import requests

COMMAND = re.compile(r"qm (\w+) (\d+)(?: (\S+))?(?: --force)?")


@dataclass
class NodeOperator:
    """At an embedded node that was started with `--faults`: no API token may remove a lock."""

    url: str
    token: str
    node: str = "embedded"
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {"Authorization": f"PVEAPIToken={self.token}"}

    def obey(self, sentence: str) -> None:
        """Do what the sentence says, to the letter."""
        commands = COMMAND.findall(sentence)
        assert commands, f"That does not say what to do: {sentence}"
        for verb, vmid, name in commands:
            self._type(verb, int(vmid), name)

    def break_off(self, match: str) -> None:
        """The next task that such a request starts dies in the middle, and leaves its lock."""
        self._send("POST", f"{self.url}/fault", json={"action": "kill-task", "match": match, "times": 1})

    def _type(self, verb: str, vmid: int, name: str) -> None:
        path = f"nodes/{self.node}/qemu/{vmid}"
        if verb == "unlock":
            self._send("POST", f"{self.url}/fault", json={"action": "unlock", "vmid": vmid})
        elif verb == "destroy":
            self._delete(path)
        elif verb == "delsnapshot":
            self._delete(f"{path}/snapshot/{name}", force=1)
        else:
            raise AssertionError(f"An operator does not know: qm {verb}")

    def _delete(self, path: str, **parameters: int) -> None:
        upid = self._send("DELETE", f"{self.url}/api2/json/{path}", params=parameters).json()["data"]
        status = f"{self.url}/api2/json/nodes/{self.node}/tasks/{upid}/status"
        while self._send("GET", status).json()["data"]["status"] != "stopped":
            time.sleep(0.02)

    def _send(self, method: str, url: str, **options: object) -> requests.Response:
        response = requests.request(method, url, headers=self.headers, timeout=30, **options)  # type: ignore[arg-type]
        assert response.ok, response.reason
        return response
