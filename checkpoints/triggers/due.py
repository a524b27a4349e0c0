"""Whether a checkpoint is due at a model call, by a policy and the last one that was taken. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from checkpoints.models import Checkpoint
from checkpoints.triggers.policy import Policy

Trigger = Checkpoint.Trigger


class Last(NamedTuple):
    """The last checkpoint of a machine: the call it was taken for, when, and how far its budgets were used."""

    call_number: int
    at: datetime
    marks: Mapping[str, int]


class Used(NamedTuple):
    """How far a budget is used, in per cent, and whose it is."""

    percent: int
    whose: str


class Due(NamedTuple):
    """What a checkpoint is taken for."""

    trigger: Trigger
    why: str


def due(
    policy: Policy,
    call_number: int,
    now: datetime,
    *,
    last: Last | None,
    used: Mapping[str, Used],
    wrote: str = "",
) -> Due | None:
    """What makes one due now, if anything. `wrote` names the tool that may have written files since the last call."""
    found = _by_calls(policy, call_number, last) or _by_files(policy, wrote)
    return found or _by_minutes(policy, now, last) or _by_budget(policy, last, used)


def _by_calls(policy: Policy, number: int, last: Last | None) -> Due | None:
    if not policy.calls or (last and number - last.call_number < policy.calls):
        return None
    first = "Before the first call" if policy.overlaps else "At the first answer"
    later = f"After answer {number - 1}" if policy.overlaps else f"At answer {number}"
    return Due(Trigger.CALL, later if number > 1 else first)


def _by_files(policy: Policy, wrote: str) -> Due | None:
    return Due(Trigger.FILES, f"After {wrote}") if policy.after_files and wrote else None


def _by_minutes(policy: Policy, now: datetime, last: Last | None) -> Due | None:
    if not policy.minutes or (last and now - last.at < timedelta(minutes=policy.minutes)):
        return None
    minutes = f"{policy.minutes} minute{'' if policy.minutes == 1 else 's'}"
    return Due(Trigger.MINUTES, f"{minutes} after the last" if last else "Before the first call")


def _by_budget(policy: Policy, last: Last | None, used: Mapping[str, Used]) -> Due | None:
    if not policy.percent:
        return None
    marks = last.marks if last else {}
    for budget, (percent, whose) in used.items():
        before = marks.get(budget, 0)
        since = percent - before if percent >= before else percent  # a new period begins at nothing
        if since >= policy.percent:
            return Due(Trigger.BUDGET, f"{percent} % of a budget used: {whose}")
    return None
