"""The guest agent: commands run, files written and read inside a VM."""

import base64
import time
from collections.abc import Mapping
from typing import Any

from proxmox import errors
from proxmox.driver import VM, Ran
from proxmox.pve.http import Part
from proxmox.pve.vms import path_of


class Agent(Part):
    def agent_answers(self, vm: VM) -> bool:
        try:
            self._http.change("post", f"{path_of(vm)}/agent/ping")
        except (errors.AgentAbsent, errors.Transient):
            return False
        return True

    def run(self, vm: VM, script: str, *arguments: str, seconds: float = 30) -> Ran:
        # A missing program answers 596 and a wedged agent; /bin/sh is always there.
        command = ["/bin/sh", "-c", script, "sh", *arguments]
        pid = self._http.change("post", f"{path_of(vm)}/agent/exec", command=command)["pid"]
        deadline, pause = time.monotonic() + seconds, 0.01
        while time.monotonic() < deadline:
            # The answer that says `exited` can be had once; it must not be retried.
            status = self._http.get(f"{path_of(vm)}/agent/exec-status", attempts=1, pid=pid)
            if int(status["exited"]):
                return _ran(status)
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)
        raise errors.UnknownOutcome(f"A command in guest {vm.vmid} did not end within {seconds:.0f} s.")

    def write(self, vm: VM, path: str, content: bytes) -> None:
        # With encode=1 Proxmox would encode characters, not bytes, and corrupt UTF-8.
        encoded = base64.b64encode(content).decode()
        self._http.change("post", f"{path_of(vm)}/agent/file-write", file=path, content=encoded, encode=0)

    def read(self, vm: VM, path: str) -> bytes:
        answer = self._http.get(f"{path_of(vm)}/agent/file-read", file=path)
        if answer.get("truncated"):
            raise errors.Capacity(
                f"{path} in guest {vm.vmid} is larger than the agent can hand out (16 MiB)."
            )
        # Bytes arrive as the code points U+0000–U+00FF.
        return str(answer["content"]).encode("latin-1")

    def put(self, vm: VM, path: str, content: bytes, *, mode: int = 0o644, owner: str = "root:root") -> None:
        raise NotImplementedError


def _ran(status: Mapping[str, Any]) -> Ran:
    code = int(status["exitcode"]) if "exitcode" in status else 128 + int(status.get("signal", 0))
    out, err = (str(status.get(name, "")).encode("latin-1") for name in ("out-data", "err-data"))
    return Ran(code, out, err)
