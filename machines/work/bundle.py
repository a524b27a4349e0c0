"""What is sent into a guest so that its agent can start: prompt, files, programs, addresses and a fresh token."""

import base64
import hashlib
import json
import secrets
import time
import uuid
from typing import Any

from django.conf import settings
from django.utils import timezone

from checkpoints.contents import manifests
from checkpoints.contents.parts import Difference
from checkpoints.models import Checkpoint
from machines import guest as guest_programs
from machines import tokens, types
from machines.models import Machine
from machines.types import MachineType
from projects.errors import Conflict
from proxmox import errors
from proxmox.connect import driver
from proxmox.driver import CHUNK_BYTES, Ran

RUNNER = "/opt/autovibe/runner.py"
IDENTITY = "/opt/autovibe/identity.py"
BUNDLE = "/var/lib/autovibe/bundle.json"
FILE = "/var/lib/autovibe/file.json"
PREFIX = '"${GUEST_ROOT:-}"'
SECONDS = 120
ENTROPY_BYTES = 64

# exit codes of the runner's `Failure`
REFUSED, NOT_INSTALLED = 3, 4


def prepare(machine: Machine) -> None:
    """Put the runner into the guest; the guest's own Python runs it."""
    _run(machine, f"mkdir -p {PREFIX}/opt/autovibe {PREFIX}/var/lib/autovibe {PREFIX}/workspace")
    source = guest_programs.source("runner.py").encode()
    _upload(machine, RUNNER, source)


def send(
    machine: Machine,
    *,
    resume: bool,
    prompt: str,
    files: bool,
    fork: str = "",
    state: Checkpoint | None = None,
) -> dict[str, Any]:
    """Write the bundle and have the runner apply it. `files`: with the machine's file modifications.

    `state`: what the guest was made of or put back to, whose conversation may have gone on after its snapshot.

    `fork` names what has made the guest a copy, or has put it back: it becomes somebody else, once for each. Returns
    what was proven of each thing.
    """
    run = uuid.uuid4()
    token = tokens.mint(machine)
    bundle = _bundle(machine, run, token, resume=resume, prompt=prompt, files=files)
    if fork:
        bundle["programs"].append({"path": IDENTITY, "content": guest_programs.source("identity.py")})
        bundle["identity"] = _identity(machine, fork)
    if state:
        bundle["overlay"] = [_history(one) for one in manifests.overlaid(state)]
    _upload(machine, BUNDLE, json.dumps(bundle).encode())
    ran = _runner(machine, f"apply {PREFIX}{BUNDLE} --now {time.time():.3f}")
    Machine.objects.filter(pk=machine.pk).update(run=run, exit_code=None)
    machine.run = run
    return _proofs(ran, token) if fork else {}


def write_file(machine: Machine, name: str, path: str, content: bytes | None, mode: int) -> None:
    """Have the runner write one file of the workspace, or delete it where there is no content.

    `name` is that of the request. Raises `Refused` where the path leads out of the workspace.
    """
    encoded = None if content is None else base64.b64encode(content).decode()
    item = {"path": path, "content": encoded, "mode": mode, "delete": content is None}
    _upload(machine, FILE, json.dumps({"run": name, "files": [item]}).encode())
    _runner(machine, f"apply {PREFIX}{FILE}")


def start(machine: Machine) -> None:
    """Have the runner start the agent; a second time it says which one runs already."""
    _runner(machine, f"start {PREFIX}{BUNDLE}")
    Machine.objects.filter(pk=machine.pk).update(run_started_at=timezone.now(), heard_at=timezone.now())


def stop(machine: Machine) -> None:
    """Have the runner end the agent and everything it started."""
    _runner(machine, "stop --grace 5")


def agent_runs(machine: Machine) -> bool:
    """Whether the guest's runner says that its agent runs; it does not after a power cycle."""
    ran = driver().run(machine.guest.vm, f"exec python3 {PREFIX}{RUNNER} status", seconds=SECONDS)
    try:
        return ran.code == 0 and bool(json.loads(ran.out)["running"])
    except (ValueError, KeyError, TypeError):
        return False


def _bundle(
    machine: Machine, run: uuid.UUID, token: str, *, resume: bool, prompt: str, files: bool
) -> dict[str, Any]:
    kind = types.get(machine.type)
    return {
        "run": str(run),
        "machine": machine.handle,
        "gateway": settings.GATEWAY_URL,
        "token": token,
        "prompt": prompt,
        "resume": resume,
        "install_check": kind.install_check,
        "command": kind.resume_command if resume else kind.command,
        "env": kind.environment_for(
            gateway=settings.GATEWAY_URL, token=token, model=machine.model or kind.default_model
        ),
        "programs": _programs(kind),
        "files": [_file(one) for one in machine.files.all()] if files else [],
        "transcripts": list(kind.transcripts),
        "wall_seconds": machine.wall_seconds,
    }


def _identity(machine: Machine, fork: str) -> dict[str, Any]:
    """Who the guest is to be. An embedded one shares its kernel, and with it the clock, with its computer."""
    return {
        "of": fork,
        "hostname": machine.handle,
        "machine_id": uuid.uuid4().hex,
        "entropy": base64.b64encode(secrets.token_bytes(ENTROPY_BYTES)).decode(),
        "shared_kernel": driver().embedded(),
    }


def _proofs(ran: Ran, token: str) -> dict[str, Any]:
    """What the guest says, and of the token what we know: any that this machine had before is dead."""
    proofs: dict[str, Any] = json.loads(ran.out)["identity"]
    proofs["token"] = {**proofs.get("token", {}), "new": tokens.fingerprint(token), "earlier": "revoked"}
    return proofs


def _programs(kind: MachineType) -> list[dict[str, str]]:
    return [
        {"path": f"/opt/autovibe/{name}", "content": guest_programs.source(name)} for name in kind.programs
    ]


def _file(one: Any) -> dict[str, Any]:
    content = base64.b64encode(bytes(one.content)).decode()
    return {"path": one.path, "content": content, "mode": one.mode, "delete": one.removes}


def _history(difference: Difference) -> dict[str, Any]:
    """A file of the agent's history; of one that has only grown since the snapshot, what was added."""
    before, after = difference
    assert after
    try:
        content = manifests.content_of(after)
    except Conflict as error:
        raise errors.Damaged(str(error)) from None
    keeps = manifests.common_bytes(before, after) if before else 0
    return {
        "path": manifests.guest_path(after),
        "mode": after["mode"],
        "mtime_ns": after["mtime_ns"],
        "sha256": after["sha256"],
        "keeps": keeps,
        "content": base64.b64encode(content[keeps:]).decode(),
    }


def _upload(machine: Machine, path: str, content: bytes) -> None:
    """Write a file of any size: in parts, put together and checked in the guest, where only root may read it then."""
    vm = machine.guest.vm
    parts = [content[at : at + CHUNK_BYTES] for at in range(0, len(content), CHUNK_BYTES)]
    for number, part in enumerate(parts):
        driver().write(vm, f"{path}.{number}", part)
    if path == RUNNER:  # it cannot put itself together
        names = " ".join(f"{PREFIX}{path}.{number}" for number in range(len(parts)))
        _run(machine, f"cat {names} > {PREFIX}{path} && rm -f {names}")
        return
    digest = hashlib.sha256(content).hexdigest()
    _runner(machine, f"assemble {PREFIX}{path} {len(parts)} --sha256 {digest}")


def _runner(machine: Machine, arguments: str) -> Ran:
    return _run(machine, f"exec python3 {PREFIX}{RUNNER} {arguments}")


def _run(machine: Machine, script: str) -> Ran:
    ran = driver().run(machine.guest.vm, script, seconds=SECONDS)
    if ran.code:
        sentence = ran.err.decode(errors="replace").strip() or f"exit code {ran.code}"
        kind = errors.Refused if ran.code in {REFUSED, NOT_INSTALLED} else errors.ProxmoxError
        raise kind(sentence.splitlines()[-1][:1000] if sentence else sentence)
    return ran
