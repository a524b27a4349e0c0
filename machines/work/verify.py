"""Proving that a checkpoint can be returned to: what is said of it, then its files, then that an agent could go on.

What is found is noted in the verification as it is found; the verdict is written from that at the end, with what it
claims. A proof that cannot be carried out claims nothing. What the scratch guest is asked is in `inside`.
"""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from checkpoints.contents.integrity import Books, told
from checkpoints.states import Depth
from checkpoints.trust import proofs
from checkpoints.trust.proofs import Fault
from guests import actions as guest_actions
from guests import locks
from guests import work as guests
from machines.work import inside, scratch, snapshots
from machines.work.proof import Proof, load
from operations.engine import Later, Outcome, Plan, Step
from projects.errors import Conflict
from proxmox import errors
from proxmox.connect import driver

TURN_SECONDS = 6 * 3600
LOOK_SECONDS = 2.0
# Before the engine gives up waiting for the agent: whether it answers is what the proof is about.
SILENT_AFTER = timedelta(seconds=guests.AGENT_SECONDS - 10)

SILENT = "The guest agent did not answer within {} minutes of a scratch guest's start."
TWICE = " It was so the last time, too."
ONCE = " That may be the node's doing: when it is so the next time as well, the checkpoint counts as broken."


# --- metadata ---


def _metadata(proof: Proof) -> Outcome:
    """Row, snapshot, backup, list of files and kept contents agree."""
    if sentence := proofs.fault_in_rows(proof.checkpoint, Books()):
        proof.fault(sentence, shared=False)
        return None
    if sentence := snapshots.fault_in(proof.checkpoint, of_backup=proof.of_backup):
        proof.fault(sentence, shared=True)
        return None
    manifest = proof.checkpoint.manifest
    proof.note(rows={"files": manifest.files, "bytes": manifest.size} if manifest else {})
    return None


# --- the scratch guest ---


def _await_turn(proof: Proof) -> Outcome:
    """Only so many scratch guests are up at the same time, whoever asked for them."""
    before = proofs.under_way().filter(asked_at__lt=proof.verification.asked_at).count()
    if before < max(settings.CHECKPOINT_PROOFS_AT_ONCE, 1):
        try:
            proofs.require_time(proof.checkpoint.project)  # those before it may have used it up
        except Conflict as refusal:
            raise errors.Refused(str(refusal)) from None
        return None
    why = f"Other proofs were before it for {TURN_SECONDS // 3600} hours."
    return Later(LOOK_SECONDS, TURN_SECONDS, why)


def _start(proof: Proof) -> Outcome:
    if "began" not in proof.verification.evidence:
        proof.note(began=timezone.now().timestamp())
    return guests.start(proof.scratch)


def _await_agent(proof: Proof) -> Outcome:
    outcome = guests.await_agent(proof.scratch)
    began = proof.operation.step_began_at
    if outcome is not None and began and timezone.now() - began > SILENT_AFTER:
        proof.note(silent=True)
        return None
    return outcome


# --- the end ---


def _settled(proof: Proof) -> None:
    _verdict(proof)
    _drop(proof)


def _verdict(proof: Proof) -> None:
    verification, evidence = proof.verification, proof.verification.evidence
    if sentence := evidence.get("fault"):
        left = evidence.get("left", "")
        proofs.failed(verification, Fault(f"{sentence} {left}".strip(), shared=evidence["shared"]))
    elif evidence.get("silent"):
        _silent(proof)
    elif sentence := evidence.get("undecided"):
        proofs.abandoned(verification, sentence)
    elif lacking := _lacking(proof):
        proofs.abandoned(verification, lacking)
    else:
        proofs.passed(verification, also=evidence.pop("with_it", []), sentence=_said(proof))


def _silent(proof: Proof) -> None:
    sentence = SILENT.format(guests.AGENT_SECONDS // 60)
    if proof.of_backup:  # which is not given up for what its host may have done
        proofs.abandoned(proof.verification, sentence)
        return
    before = proof.checkpoint.verifications.exclude(pk=proof.verification.pk).exclude(depth=Depth.METADATA)
    last = before.exclude(evidence__of=proofs.BACKUP).order_by("-asked_at").first()
    if last and last.evidence.get("silent"):
        proofs.failed(proof.verification, Fault(sentence + TWICE, shared=True))
    else:
        proofs.abandoned(proof.verification, sentence + ONCE)


def _lacking(proof: Proof) -> str:
    """What a verdict of this depth has to rest on and was not found; "" when all of it is there."""
    evidence, depth = proof.verification.evidence, proof.verification.depth
    if "rows" not in evidence:
        return "Its rows were not read."
    if depth == Depth.CONTENT and not proof.has_list:
        return proofs.NO_LIST
    if depth != Depth.METADATA and proof.has_list and "content" not in evidence:
        return "Its files were not hashed."
    return ""


def _said(proof: Proof) -> str:
    """What was proven, and what was not."""
    evidence, depth = proof.verification.evidence, proof.verification.depth
    if depth == Depth.METADATA:
        return proofs.AGREE
    words = []
    if content := evidence.get("content"):
        words.append(f"{content['files']:,} files ({content['bytes']:,} bytes) are as they were listed.")
        if moved_on := content["written_to_meanwhile"]:
            words.append(f"Written to between the listing and the snapshot: {told(moved_on)}.")
    else:
        words.append("It has no list of files to compare with.")
    if depth == Depth.BOOT:
        words += ["A guest of it starts.", *_said_of_agent(evidence)]
    return " ".join(words)


def _said_of_agent(evidence: dict[str, Any]) -> list[str]:
    parts = {
        "transcripts": ("Its agent's conversation can be read.", "its agent's conversation"),
        "probe": ("Its agent answers the probe of its type.", "its agent"),
    }
    tried = [done for key, (done, _) in parts.items() if key in evidence]
    lacking = [what for key, (_, what) in parts.items() if key not in evidence]
    return [*tried, *([f"Not tried: {', '.join(lacking)}."] if lacking else [])]


def _failed(proof: Proof, sentence: str) -> None:
    """It could not be carried out. What it has found before stands, and so does damage that the storage reports."""
    if "fault" in proof.verification.evidence:
        _verdict(proof)
    elif isinstance(errors.of_task(sentence), errors.Damaged):
        proofs.failed(proof.verification, Fault(sentence, shared=True))
    else:
        proofs.abandoned(proof.verification, sentence)
    _drop(proof)


def _drop(proof: Proof) -> None:
    if proof.guest:
        guest_actions.condemn(proof.guest)


def _blocked(proof: Proof) -> str:
    if proof.guest is None:
        return ""
    return locks.blocked(proof.guest, proof.checkpoint.guest)


def _deep(proof: Proof) -> bool:
    return proof.verification.depth != Depth.METADATA and proof.goes_on


def _listed(proof: Proof) -> bool:
    return _deep(proof) and proof.has_list


def _boot(proof: Proof) -> bool:
    return proof.verification.depth == Depth.BOOT and proof.goes_on


def _bad_backup(proof: Proof) -> bool:
    evidence = proof.verification.evidence
    return proof.of_backup and bool(evidence.get("fault") and evidence["shared"])


def _discard(proof: Proof) -> Outcome:
    """A backup that was found bad is of no use, and nobody would know of it any more."""
    holder = proof.checkpoint.holder
    return driver().delete_volume(holder.guest.node, holder.backup) if holder.backup else None


def _not_discarded(proof: Proof, sentence: str) -> None:
    proof.note(left=f"It is still there as {proof.checkpoint.holder.backup}. {sentence}")


PLAN: Plan[Proof] = Plan(
    load=load,
    steps=(
        Step("turn", "Waiting for its turn", _await_turn, needed=_deep),
        Step("metadata", "Reading what is said of it", _metadata),
        Step("rewind", "Putting the source back", scratch.rewind, slots=scratch.slots, needed=_deep),
        Step(
            "clone",
            "Cloning",
            scratch.clone,
            look=scratch.look_for_clone,
            slots=scratch.slots,
            needed=_deep,
        ),
        Step("mark", "Setting size and mark", scratch.mark, needed=_deep),
        Step("cut", "Taking its network away", scratch.cut_off, needed=_deep),
        Step("start", "Starting the VM", _start, needed=_deep),
        Step("agent", "Waiting for the guest agent", _await_agent, needed=_deep),
        Step("send", "Sending the proof", inside.send, needed=_deep),
        Step("hash", "Hashing its files", inside.hash_files, needed=_listed),
        Step("kin", "Reading what shares its snapshot", inside.kin, needed=_listed),
        Step("transcripts", "Reading the conversation", inside.transcripts, needed=_boot),
        Step("probe", "Probing the agent", inside.probe, needed=_boot),
        Step("discard", "Deleting the bad backup", _discard, tolerate=_not_discarded, needed=_bad_backup),
    ),
    succeed=_settled,
    fail=_failed,
    blocked=_blocked,
)
