"""The guest agent: commands run, files written and read inside a VM.

QEMU has one line to each agent, so calls to one VM wait for each other here; other processes may still hold it, which
Proxmox tells as `unable to connect to VM … qga socket`: a `Transient`.
"""

import base64
import hashlib
import shlex
import threading
import time
import uuid
from collections.abc import Mapping
from typing import Any

from proxmox import errors
from proxmox.driver import CHUNK_BYTES, VM, Ran
from proxmox.pve.http import Part
from proxmox.pve.ownership import path_of

PUT_SECONDS = 120
SOON_SECONDS = 2.0

# One per VM; threads of a process have drivers of their own and share these.
_lines: dict[int, threading.Lock] = {}

# Root's own directory: others in the guest can neither read the parts nor exchange them.
_MAKE_ROOM = 'mkdir -m 700 "${GUEST_ROOT:-}$1"'
# $1 path, $2 directory of the parts, $3 how many, $4 SHA-256, $5 mode, $6 owner. The path has all of it or nothing.
_ASSEMBLE = """
set -eu
path=${GUEST_ROOT:-}$1 parts=${GUEST_ROOT:-}$2 number=0
mkdir -p "$(dirname "$path")"
new=$(mktemp "$path.XXXXXX")
trap 'rm -rf "$parts" "$new"' EXIT
while [ "$number" -lt "$3" ]; do
    cat "$parts/$number"
    number=$((number + 1))
done > "$new"
echo "$4  $new" | sha256sum -c - > /dev/null || { echo "it arrived damaged" >&2; exit 1; }
chown "$6" "$new"
chmod "$5" "$new"
mv -fT "$new" "$path"
"""
# Characters beyond ASCII in a command wedge the agent until the VM is reset (seen on 8.4 and 9.2).
_DECODE = 'eval "$(printf %s "$1" | base64 -d)"'


class Agent(Part):
    def agent_answers(self, vm: VM) -> bool:
        try:
            self._post(vm, "ping")
        except (errors.AgentAbsent, errors.Transient, errors.UnknownOutcome):
            return False
        return True

    def run(self, vm: VM, script: str, *arguments: str, seconds: float = 30) -> Ran:
        # A missing program answers 596 and a wedged agent; /bin/sh is always there.
        pid = self._post(vm, "exec", command=_command(script, arguments))["pid"]
        begun, pause = time.monotonic(), 0.01
        while (asked := time.monotonic()) < begun + seconds:
            status = self._ended(vm, int(pid))
            if status:
                return _ran(status)
            # An agent that is silent holds one of the node's three API workers for as long as it is waited for.
            time.sleep(max(pause, time.monotonic() - asked))
            # Most commands end within a moment, and somebody waits for them.
            soon = asked < begun + SOON_SECONDS
            pause = min(pause * 1.2, 0.05) if soon else min(pause * 1.5, 0.5)
        raise errors.UnknownOutcome(f"A command in guest {vm.vmid} did not end within {seconds:.0f} s.")

    def _ended(self, vm: VM, pid: int) -> Mapping[str, Any] | None:
        """How the command ended, once; None while it runs, as it may while nobody answers.

        A guest that is busy or frozen does not answer the ping before each question (qemu-server: Agent.pm). The
        agent forgets an end as it tells it: when that answer was lost, it says so the next time.
        """
        try:
            with self._line(vm):
                path = f"{path_of(vm)}/agent/exec-status"
                status: Mapping[str, Any] = self._http.get_once(path, pid=pid)
        except (errors.PoweredOff, errors.AgentDisabled):
            raise
        except errors.Transient:
            return None
        except errors.ProxmoxError as error:
            if str(error).startswith("Agent error:"):
                # The agent does not know the process any more; how it says so depends on its version.
                raise errors.UnknownOutcome(
                    f"How a command in guest {vm.vmid} ended was told once, and lost. ({error})"
                ) from None
            if isinstance(error, (errors.AgentAbsent, errors.UnknownOutcome)):
                return None
            raise
        return status if int(status["exited"]) else None

    def write(self, vm: VM, path: str, content: bytes) -> None:
        # With encode=1 Proxmox would encode characters, not bytes, and corrupt UTF-8.
        encoded = base64.b64encode(content).decode()
        self._post(vm, "file-write", file=path, content=encoded, encode=False)

    def read(self, vm: VM, path: str) -> bytes:
        with self._line(vm):
            answer = self._http.get(f"{path_of(vm)}/agent/file-read", file=path)
        if int(answer.get("truncated") or 0):
            raise errors.Capacity(
                f"{path} in guest {vm.vmid} is larger than the agent can hand out (16 MiB)."
            )
        # Bytes arrive as the code points U+0000–U+00FF.
        return str(answer["content"]).encode("latin-1")

    def put(self, vm: VM, path: str, content: bytes, *, mode: int = 0o644, owner: str = "root:root") -> None:
        room = f"/tmp/.autovibe-{uuid.uuid4().hex}"
        self._do(vm, path, _MAKE_ROOM, room)
        parts = [content[at : at + CHUNK_BYTES] for at in range(0, len(content), CHUNK_BYTES)]
        for number, part in enumerate(parts):
            self.write(vm, f"{room}/{number}", part)
        digest = hashlib.sha256(content).hexdigest()
        self._do(vm, path, _ASSEMBLE, path, room, str(len(parts)), digest, f"{mode:o}", owner)

    def _do(self, vm: VM, path: str, script: str, *arguments: str) -> None:
        ran = self.run(vm, script, *arguments, seconds=PUT_SECONDS)
        if ran.code:
            why = ran.err.decode(errors="replace").strip() or f"exit code {ran.code}"
            raise errors.ProxmoxError(f"{path} in guest {vm.vmid} could not be written: {why}")

    def _post(self, vm: VM, call: str, **parameters: Any) -> Any:
        with self._line(vm):
            return self._http.change("post", f"{path_of(vm)}/agent/{call}", **parameters)

    def _line(self, vm: VM) -> threading.Lock:
        return _lines.setdefault(vm.vmid, threading.Lock())


def _command(script: str, arguments: tuple[str, ...]) -> list[str]:
    if all(map(str.isascii, (script, *arguments))):
        return ["/bin/sh", "-c", script, "sh", *arguments]
    source = f"set -- {shlex.join(arguments)}\n{script}"
    return ["/bin/sh", "-c", _DECODE, "sh", base64.b64encode(source.encode()).decode()]


def _ran(status: Mapping[str, Any]) -> Ran:
    code = int(status["exitcode"]) if "exitcode" in status else 128 + int(status.get("signal", 0))
    out, err = (str(status.get(name, "")).encode("latin-1") for name in ("out-data", "err-data"))
    return Ran(code, out, err)
