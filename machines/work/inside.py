"""What is asked of the scratch guest of a proof: all its files anew, its conversation, and whether its agent starts."""

import hashlib
import json
import zlib
from typing import Any
from uuid import UUID

from checkpoints.contents import manifests
from checkpoints.contents.captures import LIST_BYTES_MAX
from checkpoints.contents.integrity import Books, compare, roots, told
from checkpoints.models import Checkpoint, Verification
from checkpoints.states import Depth, Verdict
from checkpoints.trust import proofs
from machines import actions, types
from machines import guest as guest_programs
from machines.types import MachineType, UnknownType
from machines.work.proof import Proof
from operations.engine import Later, Outcome
from proxmox import errors
from proxmox.connect import driver
from proxmox.driver import Ran

PROGRAM = "/run/autovibe-proof.py"
OUT = "/run/autovibe-proof"
PAGE = 50_000  # entries in a file that the guest agent hands out: a few of the 16 MiB that it can
LIST_SECONDS = 2 * 3600
LOOK_SECONDS = 2.0
PROBE_SECONDS = 60


def send(proof: Proof) -> Outcome:
    """Put the program there that reads everything anew; whatever the guest has of ours may have been changed."""
    driver().put(proof.scratch.vm, PROGRAM, guest_programs.source("proof.py").encode(), mode=0o700)
    return None


def hash_files(proof: Proof) -> Outcome:
    """Have the scratch guest read every file, and compare what it has with what was listed."""
    listed = proof.checkpoint.holder.manifest
    assert listed is not None
    entries = listed.entries
    words = [OUT, str(PAGE), *roots(entries)]
    script = f'out="$1"; shift; exec python3 "${{GUEST_ROOT:-}}{PROGRAM}" list "${{GUEST_ROOT:-}}$out" "$@"'
    told_by_guest = _answer(driver().run(proof.scratch.vm, script, *words, seconds=PROBE_SECONDS))
    if told_by_guest["state"] == "running":
        why = f"Its files were not hashed within {LIST_SECONDS // 3600} hours."
        return Later(LOOK_SECONDS, LIST_SECONDS, why)
    if told_by_guest["state"] != "done":
        raise errors.ProxmoxError(f"The scratch guest could not hash its files: {told_by_guest.get('error')}")
    found = [entry for page in range(int(told_by_guest["pages"])) for entry in _page(proof, page)]
    holder = proof.checkpoint.holder
    took = (holder.captured_at or holder.created_at) - holder.created_at
    compared = compare(
        entries,
        found,
        listed_ns=int(told_by_guest["listed_ns"]),
        window_ns=int(took.total_seconds() * 1e9),
    )
    figures = {name: int(told_by_guest[name]) for name in ("files", "bytes")}
    proof.note(content=figures | {"written_to_meanwhile": compared.moved_on})
    if compared.damaged:
        proof.fault(f"{told(compared.damaged)}.", shared=True)
    return None


def _page(proof: Proof, number: int) -> list[dict[str, Any]]:
    raw = driver().read(proof.scratch.vm, f"{OUT}/{number}.gz")
    text = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(raw, LIST_BYTES_MAX)
    return [json.loads(line) for line in text.splitlines()]


def kin(proof: Proof) -> Outcome:
    """Others that live in the same snapshot are proven with it, as far as our own rows of them are sound."""
    books = Books()
    others = proofs.kin(proof.checkpoint).exclude(pk=proof.checkpoint.pk).exclude(manifest=None)
    sound = [str(one.pk) for one in others if not proofs.fault_in_rows(one, books)]
    proof.note(with_it=sound)
    return None


# --- boot ---


def transcripts(proof: Proof) -> Outcome:
    """The agent's conversation can be read, as it would be found after a return."""
    checkpoint, vm = proof.checkpoint, proof.scratch.vm
    if checkpoint.shares_id:
        for path, content, mode in manifests.overlay(checkpoint):
            driver().put(vm, path, content, mode=mode)
    wanted = _conversations(checkpoint)
    if not wanted:
        return None
    ran = driver().run(vm, f'exec python3 "${{GUEST_ROOT:-}}{PROGRAM}" transcripts "$@"', *wanted, seconds=60)
    answer = _answer(ran)
    proof.note(transcripts={name: answer[name] for name in ("files", "lines", "cut")})
    if answer["bad"]:
        bad = told([str(one) for one in answer["bad"]])
        proof.fault(f"The agent's conversation cannot be read: {bad}", shared=not checkpoint.shares_id)
    return None


def _conversations(checkpoint: Checkpoint) -> list[str]:
    """Where the agent's history is: as was noted, or where its type keeps it, if anything of it was listed."""
    if noted := checkpoint.transcript:
        return [noted if noted.startswith("/") else f"/workspace/{noted}"]
    kind = _type_of(checkpoint)
    listed = roots(checkpoint.manifest.entries) if checkpoint.manifest else []
    return [path for path in (kind.transcripts if kind else ()) if _any_below(path, listed)]


def _any_below(path: str, directories: list[str]) -> bool:
    return any(f"{one}/".startswith(f"{path.rstrip('/')}/") for one in directories)


def probe(proof: Proof) -> Outcome:
    """What the machine type says shows that its agent could be started there."""
    kind = _type_of(proof.checkpoint)
    if kind is None or not kind.probe:
        return None
    script = (
        f'cd "${{GUEST_ROOT:-}}/workspace" && export HOME="${{GUEST_ROOT:-}}/root" && {_PATH}\n{kind.probe}'
    )
    ran = driver().run(proof.scratch.vm, script, seconds=PROBE_SECONDS)
    said = (ran.out + ran.err).decode(errors="replace").strip()[-300:]
    which = hashlib.sha256(kind.probe.encode()).hexdigest()
    proof.note(probe=said, probe_sha256=which, type=kind.name)
    if not ran.code:
        return None
    sentence = f"The probe of {kind.title} failed with exit code {ran.code}: {said}"
    if _has_passed(kind.name, which, proof.checkpoint.project_id):
        proof.fault(sentence, shared=True)
    else:
        proof.note(undecided=f"{sentence}. It has never succeeded yet, so it may be wrong itself.")
    return None


def _has_passed(type_name: str, probe_sha256: str, project_id: UUID) -> bool:
    """Whether that probe ever succeeded on what is alike: one with a mistake in it must not break all of its type."""
    passed = Verification.objects.filter(verdict=Verdict.PASSED, depth=Depth.BOOT)
    alike = passed.filter(checkpoint__project=project_id, evidence__type=type_name)
    return alike.filter(evidence__probe_sha256=probe_sha256).exists()


# As the runner starts agents (`machines/guest/runner.py`: environment).
_PATH = (
    'export PATH="${GUEST_ROOT:-}/opt/autovibe/bin:$HOME/.local/bin:${PATH:-}:/usr/local/bin:/usr/bin:/bin"'
)


def _type_of(checkpoint: Checkpoint) -> MachineType | None:
    machine = actions.machine_of(checkpoint)
    try:
        return types.get(machine.type) if machine else None
    except UnknownType:  # it was taken out of the installation
        return None


def _answer(ran: Ran) -> dict[str, Any]:
    try:
        answer = json.loads(ran.out)
    except ValueError:
        said = ran.err.decode(errors="replace").strip()[-500:]
        raise errors.ProxmoxError(f"The scratch guest answered nothing that can be read. {said}") from None
    if not isinstance(answer, dict):
        raise errors.ProxmoxError("The scratch guest answered nothing that can be read.")
    return answer
