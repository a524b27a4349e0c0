"""Going back in place: the present is kept, then disk and conversation return to the checkpoint, and it goes on.

One that cannot be restored is not the end: the next of `checkpoints.trust.fallback.chain` is tried in its place. It is
called broken only where Proxmox has said that its snapshot is damaged or gone. A guest that does not come up may be
its host's fault, even when the next one does, a while later: such a one is looked into by a boot drill.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from checkpoints import work as checkpoints
from checkpoints.contents.integrity import Books
from checkpoints.models import Checkpoint
from checkpoints.states import Depth
from checkpoints.states import State as CheckpointState
from checkpoints.telling import fail
from checkpoints.trust import fallback, proofs
from checkpoints.trust.giving_up import give_up
from events import actions as events
from guests import work as guests
from machines import actions
from machines.models import Machine
from machines.work import bundle, context, identity, network
from machines.work.context import Work, blocked, load, running
from machines.work.spawn import send_bundle, start_agent
from machines.work.terminate import QUIET
from operations.engine import Outcome, Plan, Step
from operations.models import Operation
from projects.errors import Refusal
from proxmox import errors
from proxmox.connect import driver

# Steps that show whether a checkpoint can be restored; and what a failure of theirs does not say of it.
_TELLING = frozenset({"sound", "rollback", "start", "agent", "files", "launch"})
_OF_THE_HOST = (
    errors.Transient,
    errors.UnknownOutcome,
    errors.Exists,
    errors.Busy,
    errors.Stuck,
    errors.Capacity,
    errors.Refused,
    errors.Unsupported,
)


@dataclass
class Return(Work):
    """The context of a return; `at_an_end`: none is left that could be tried."""

    at_an_end: bool = False


def _load(operation: Operation) -> Return:
    work = load(operation)
    return Return(work.operation, work.machine, work.kept, work.target)


def _sound(work: Return) -> Outcome:
    """While the VM still runs: what a checkpoint needs beside a snapshot that it shares is in our own store."""
    target, books = _target(work), Books()
    if target.state != CheckpointState.CAPTURED:
        raise errors.Missing(f"{target.handle} cannot be used any more. {target.error}".strip())
    for one in (target.shares, target) if target.shares else ():
        if fault := proofs.fault_in_rows(one, books):
            raise errors.Damaged(fault)
    return None


def _rollback(work: Return) -> Outcome:
    """Restore; whatever the present was, it is in a checkpoint now, or nothing is done."""
    checkpoints.captured(work.kept)
    if work.kept and work.kept.state != CheckpointState.CAPTURED:
        raise errors.Refused(f"The present could not be kept, so it was not left: {work.kept.error}")
    return driver().rollback(work.machine.guest.vm, _target(work).snapshot)


def _fresh_addresses(work: Return) -> Outcome:
    """Memory that was restored knows the network device as it was, and runs already."""
    return None if _target(work).ram else identity.fresh_addresses(work)


def _send(work: Return) -> Outcome:
    """The disk is back; whatever checkpoint comes next follows the target."""
    target = _target(work)
    Machine.objects.filter(pk=work.machine.pk).update(present=target)
    if target.ram:  # the agent that was restored with it has a dead token
        bundle.stop(work.machine)
    return send_bundle(
        work, resume=target.begun, prompt="" if target.begun else work.machine.prompt, files=not target.begun
    )


def _target(work: Return) -> Checkpoint:
    assert work.target is not None
    return work.target


# --- when it cannot be restored ---


def _instead(work: Return, sentence: str, error: errors.ProxmoxError) -> str:
    """Go on with the next one that may be restored, and say what that loses."""
    if work.operation.step not in _TELLING or isinstance(error, _OF_THE_HOST):
        return ""
    failed = _target(work)
    tried = [*_tried(work.operation), {"checkpoint": str(failed.pk), "sentence": sentence}]
    _judge(work, failed, sentence, error)
    asked = _found(tried[0])
    left = [*_holder(work, failed), *fallback.chain(asked)]
    found = next((one for one in left if str(one.pk) not in {row["checkpoint"] for row in tried}), None)
    work.operation.note(arguments={**work.operation.arguments, "tried": tried})
    if found is None:
        work.at_an_end = True
        return ""
    _go_to(work, found, asked, sentence)
    return "sound"


def _judge(work: Return, failed: Checkpoint, sentence: str, error: errors.ProxmoxError) -> None:
    """Broken is what is damaged or gone: a snapshot with all that live in it, or what one has beside it."""
    if work.operation.step == "rollback" and isinstance(error, errors.Damaged | errors.Missing):
        give_up(failed, sentence)
    elif work.operation.step == "sound" and isinstance(error, errors.Damaged):
        fail(failed, sentence)


def _holder(work: Return, failed: Checkpoint) -> list[Checkpoint]:
    """Where only what it has beside the snapshot is damaged, the snapshot's own state is the nearest."""
    holder = failed.holder
    return [holder] if work.operation.step == "sound" and holder != failed and holder.usable else []


def _go_to(work: Return, found: Checkpoint, asked: Checkpoint, sentence: str) -> None:
    machine, lost = work.machine, fallback.cost(asked, found)
    told = fallback.told(found.handle, lost, machine.project.currency)
    said = f"{_target(work).handle} could not be restored. {sentence.rstrip('.')}. It goes back to {told}."
    work.operation.note(arguments={**work.operation.arguments, "target": str(found.pk), "addresses": None})
    Machine.objects.filter(pk=machine.pk).update(sentence=said)
    events.record(
        "machine.fell_back",
        subject=machine.subject,
        project_id=machine.project_id,
        handle=machine.handle,
        asked=asked.handle,
        target=found.handle,
        turns=lost.turns,
        micros=lost.micros,
        sentence=said,
    )


def _returned(work: Return) -> None:
    """It runs. Those that did not come up here are looked into, once there is time."""
    for row in _tried(work.operation):
        if (tried := _found(row)).usable:
            with suppress(Refusal):
                actions.verify(tried, Depth.BOOT, by=None)
    running(work)


def _failed(work: Return, sentence: str) -> None:
    context.failed(work, f"{sentence.rstrip('.')}. {_way_out(work)}" if work.at_an_end else sentence)


def _way_out(work: Return) -> str:
    tried = [UUID(row["checkpoint"]) for row in _tried(work.operation)]
    asked = Checkpoint.objects.get(pk=tried[0])
    found = fallback.haven(asked, without=tried)
    if found is None:
        return "Nothing that it could go back to is left."
    told = fallback.told(found.handle, fallback.cost(asked, found), work.machine.project.currency)
    return f"Nothing in its guest can be gone back to. Branch from {told}: bin/autovibe branch {found.handle}"


def _tried(operation: Operation) -> list[dict[str, Any]]:
    return list(operation.arguments.get("tried") or [])


def _found(row: dict[str, Any]) -> Checkpoint:
    return Checkpoint.objects.select_related("guest").get(pk=row["checkpoint"])


PLAN: Plan[Return] = Plan(
    load=_load,
    steps=(
        QUIET,
        *checkpoints.STEPS,
        Step("sound", "Looking at what is kept", _sound),
        Step("stop", "Stopping the VM", lambda work: guests.stop(work.machine.guest)),
        Step("rollback", "Going back", _rollback),
        Step("address", "Giving it a network address of its own", _fresh_addresses),
        network.CLOSE_AGAIN,
        Step("start", "Starting the VM", lambda work: guests.start(work.machine.guest)),
        Step("agent", "Waiting for the guest agent", lambda work: guests.await_agent(work.machine.guest)),
        Step("files", "Preparing the agent", _send),
        network.IN_FORCE,
        Step("launch", "Starting the agent", start_agent),
    ),
    succeed=_returned,
    fail=_failed,
    blocked=blocked,
    instead=_instead,
)
