"""Having checkpoints of a machine taken: asked for, due at a model call, or before a tool that may do harm."""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import Max, Sum
from django.utils import timezone

from budgets.models import LedgerEntry, Window
from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint
from checkpoints.states import State as CheckpointState
from checkpoints.triggers.due import Last, Used, due
from machines.actions.begin import require
from machines.keeping import policies
from machines.keeping.memory import require_saveable
from machines.limits.payer import payer_of
from machines.models import Machine
from machines.states import CALLING
from machines.types import UnknownType
from projects.models import User

WHY_CHARACTERS_MAX = 200


class AtCall(NamedTuple):
    """The model call that a checkpoint is taken for; `marks`: how far budgets are used, where that is minded."""

    id: UUID | None = None
    number: int | None = None
    marks: Mapping[str, int] = {}


@transaction.atomic
def checkpoint(machine: Machine, *, by: User, why: str = "", ram: bool | None = None) -> Checkpoint:
    """Take a checkpoint of the machine as it is. `ram`: with its memory; by default as its policy has it.

    Raises `Conflict`; with `ram` also where the memory cannot be kept.
    """
    require(machine, "checkpoint")
    with_memory = policies.policy_of(machine).ram if ram is None else ram
    if with_memory:
        require_saveable(machine)
    prepared = prepare(
        machine,
        Checkpoint.Kind.MANUAL,
        why or f"Asked for by {by.username}",
        Checkpoint.Trigger.REQUEST,
        ram=with_memory,
    )
    return checkpoints.take(prepared, by=by)


@transaction.atomic
def checkpoint_before_call(
    machine: Machine, call_number: int, call_id: UUID, *, wrote: str = ""
) -> UUID | None:
    """Take the checkpoint around a model call, if the machine's policy has one due; returns its id.

    When request N+1 arrives the agent is waiting, and all that answer N caused is on disk. `wrote` names a tool that
    may have written files since.
    """
    if machine.state not in CALLING:
        return None
    policy = policies.policy_of(machine)
    used = _used(machine) if policy.percent else {}
    last = _last(machine) if policy.calls != 1 else None
    found = due(policy, call_number, timezone.now(), last=last, used=used, wrote=wrote)
    if found is None:
        return None
    marks = {budget: percent for budget, (percent, _) in used.items()}
    return _take(machine, found.trigger, found.why, AtCall(call_id, call_number, marks))


@transaction.atomic
def checkpoint_before_tool(machine: Machine, call_number: int, call_id: UUID, *, why: str) -> UUID | None:
    """Take a checkpoint before the agent hears that the model wants a tool used that may do harm; returns its id."""
    if machine.state not in CALLING:
        return None
    return _take(machine, Checkpoint.Trigger.RISK, why, AtCall(call_id, call_number, _marks(machine)))


def taken_before_tool(checkpoint_id: UUID, *, why: str) -> bool:
    """The checkpoint of this very call is the state before such a tool, too; False while, or when, it is not taken."""
    found = Checkpoint.objects.filter(pk=checkpoint_id, state=CheckpointState.CAPTURED)
    return bool(found.update(trigger=Checkpoint.Trigger.RISK, why=why[:WHY_CHARACTERS_MAX]))


def _take(machine: Machine, trigger: Checkpoint.Trigger, why: str, call: AtCall) -> UUID:
    begun = machine.continues or (call.number or 0) > 1
    prepared = prepare(machine, Checkpoint.Kind.AUTOMATIC, why, trigger, begun=begun, call=call)
    return checkpoints.take(prepared, by=None).id


def _last(machine: Machine) -> Last | None:
    """The last that was taken for a call, and did not fail."""
    known = Checkpoint.objects.of(machine.subject).filter(call_number__isnull=False)
    last = known.exclude(state=CheckpointState.BROKEN).last()
    return Last(last.call_number or 0, last.created_at, last.marks) if last else None


def _marks(machine: Machine) -> dict[str, int]:
    used = _used(machine) if policies.policy_of(machine).percent else {}
    return {budget: percent for budget, (percent, _) in used.items()}


def _used(machine: Machine) -> dict[str, Used]:
    """By budget, how far each that the machine draws on is used. Those of a minute fill and empty all the time."""
    windows = Window.objects.of(payer_of(machine).holders).select_related("budget")
    return {
        str(window.budget_id): Used(window.percent, str(window.budget))
        for window in windows
        if not window.is_rate
    }


def prepare(
    machine: Machine,
    kind: Checkpoint.Kind,
    why: str,
    trigger: Checkpoint.Trigger,
    *,
    begun: bool | None = None,
    call: AtCall | None = None,
    ram: bool = False,
) -> Checkpoint:
    """The row of a checkpoint of the machine, which is its present from now on. The caller sees to the taking."""
    prepared = checkpoints.prepare(
        project=machine.project,
        guest=machine.guest,
        origin=machine.subject,
        name=machine.handle,
        kind=kind,
        why=why[:WHY_CHARACTERS_MAX],
        parent=machine.present or machine.source,
        begun=_has_begun(machine) if begun is None else begun,
        trigger=trigger,
        ram=ram,
        may_share=_skips(machine),
        position=_position(machine, call or AtCall()),
    )
    Machine.objects.filter(pk=machine.pk).update(present=prepared)
    machine.present = prepared
    return prepared


def _skips(machine: Machine) -> bool:
    """Whether it may share the last snapshot where nothing has changed."""
    try:
        return policies.policy_of(machine).skip
    except UnknownType:  # its last checkpoints are taken all the same
        return True


def _position(machine: Machine, call: AtCall) -> checkpoints.Position:
    """Where its books stand. Added up anew: an entry may be committed after one with a higher number."""
    since = machine.created_at.date().replace(day=1)
    entries = LedgerEntry.objects.filter(machine_id=machine.pk, month__gte=since)
    found = entries.aggregate(last=Max("id"), spent=Sum("micros", default=0))
    return checkpoints.Position(call.id, call.number, found["last"], found["spent"], dict(call.marks))


def _has_begun(machine: Machine) -> bool:
    """Whether the agent's conversation has begun by now: it has when a call was made since the last checkpoint."""
    last = machine.present
    return machine.continues or (last is not None and (last.begun or last.call_id is not None))
