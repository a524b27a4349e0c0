"""Where to go when a checkpoint cannot be restored: which other one, and what is lost on the way. Queries only.

The order. Only ancestors in the same guest that can still be returned to count, each snapshot once. Of the nearest
few, those that were proven to be restorable come first, the nearest of them before the others; all the rest follow, the
nearest first. A proof is worth a few model calls, and not hundreds.
"""

from collections.abc import Collection, Iterator
from uuid import UUID

from budgets.resources import Resource
from budgets.sentences import amount
from checkpoints.models import Checkpoint
from checkpoints.reading import lines
from checkpoints.reading.lines import Cost

NEAR = 10  # of so many a proven one is preferred

Line = list[Checkpoint] | None  # the target and its ancestors, where the caller has read them already


def chain(target: Checkpoint, line: Line = None) -> list[Checkpoint]:
    """What is tried after the target, in that order. Empty where a guest can only go back to its newest snapshot."""
    known = target.guest.abilities
    if known is not None and not known.rolls_back_any:
        return []
    found = [one for one in _other_states(target, line) if one.guest_id == target.guest_id]
    return sorted(found[:NEAR], key=lambda one: not one.proven) + found[NEAR:]


def cost(target: Checkpoint, other: Checkpoint, line: Line = None) -> Cost:
    """Model calls, and micro-units of money, from `other`, an ancestor, to the target: what going there loses."""
    line = line or lines.line(target)
    return lines.cost(line, [one.pk for one in line].index(other.pk))


def haven(
    target: Checkpoint, *, without: Collection[UUID] = (), gone: UUID | None = None
) -> Checkpoint | None:
    """The nearest one that a new machine can be made from: the target itself, or an ancestor in whatever guest.

    `without`: not these, nor what lives in their snapshots. `gone`: a guest of which only backups are left.
    """
    avoided = {_state(one) for one in Checkpoint.objects.filter(pk__in=without)}
    for one in lines.line(target):
        there = one.guest_id != gone or one.holder.backup
        if one.usable and _state(one) not in avoided and there and one.branching.strategy:
            return one
    return None


def told(handle: str, lost: Cost, currency: str) -> str:
    """`m1.c2, which is 3 model calls and 0.01 USD earlier`"""
    calls = f"{lost.turns:,} model call{'' if lost.turns == 1 else 's'}"
    return f"{handle}, which is {calls} and {amount(lost.micros, Resource.MONEY, currency)} earlier"


def _other_states(target: Checkpoint, line: Line) -> Iterator[Checkpoint]:
    """Usable ancestors, nearest first, of each snapshot one."""
    seen = {_state(target)}
    for one in (line or lines.line(target))[1:]:
        if one.usable and _state(one) not in seen:
            seen.add(_state(one))
            yield one


def _state(checkpoint: Checkpoint) -> UUID:
    return checkpoint.shares_id or checkpoint.pk
