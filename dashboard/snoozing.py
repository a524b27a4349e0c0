"""Snoozing: what waits for a person leaves that person's list for a while, and nobody else's.

It comes back when its time is over, and before that when it changes: when it fails anew, or for another reason.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils import timezone

from budgets.models import BudgetRequest, Transfer
from dashboard import needs
from dashboard.models import Preferences, Snooze
from events import actions as events
from machines.limits import enforce
from machines.models import Machine
from machines.states import State
from projects.errors import Conflict, Invalid, NotThere
from projects.models import User

SNOOZED, WOKEN = "needs.snoozed", "needs.woken"
MORNING_HOUR = 8
KINDS = ("machine", "request", "transfer")
# How long, and how it is offered.
FOR = {"hour": "For an hour", "morning": "Until tomorrow, 08:00", "change": "Until it changes"}
Thing = Machine | BudgetRequest | Transfer


@dataclass(frozen=True)
class Aside:
    """What somebody has snoozed and what is still as it was then, and by what it was put aside."""

    things: list[Thing] = field(default_factory=list)
    put: dict[tuple[str, str], Snooze] = field(default_factory=dict)

    def keys(self, kind: str) -> list[str]:
        return [key for one, key in self.put if one == kind]


def of(user: User | AnonymousUser) -> Aside:
    """No query for whoever is known to have snoozed nothing; else one, and at most three more."""
    aside = Aside()
    if not isinstance(user, User) or is_known_to_have_none(user):
        return aside
    lasting = Q(until=None) | Q(until__gt=timezone.now())
    kept = {(one.kind, one.thing): one for one in Snooze.objects.filter(lasting, user=user)}
    for kind in sorted({kind for kind, _ in kept}):
        for thing in waiting(user, kind).filter(pk__in=[key for one, key in kept if one == kind]):
            snooze = kept[kind, str(thing.pk)]
            if snooze.face == face(thing):
                aside.things.append(thing)
                aside.put[kind, snooze.thing] = snooze
    return aside


def is_known_to_have_none(user: User) -> bool:
    """Each page reads its user's preferences, and with them whether anything is snoozed."""
    known = user._state.fields_cache.get("preferences")
    return known is not None and not getattr(known, "snoozes", not known._state.adding)


def waiting(user: User | AnonymousUser, kind: str) -> QuerySet[Any]:
    """Everything of one kind that waits for this person. Raises `NotThere` for what is no kind."""
    found = dict(zip(KINDS, needs.waiting(user), strict=True))
    if kind not in found:
        raise NotThere("Machines, requests and transfers wait for people, and nothing else.")
    related = {"machine": ("guest", "project", "source", "present")}
    return found[kind].select_related(*related[kind]) if kind in related else found[kind]


def face(thing: Thing) -> str:
    """Why it waits, and since when, so that a change is noticed."""
    told = _of_machine(thing) if isinstance(thing, Machine) else _of_wish(thing)
    return hashlib.sha256("\n".join(map(str, told)).encode()).hexdigest()


def _of_machine(machine: Machine) -> Iterable[object]:
    paused = machine.paused_at if machine.state == State.PAUSED else None
    heard = machine.heard_at if enforce.is_silent(machine) else None  # else it is heard from all the time
    return machine.state, needs.why(machine), machine.ended_at, paused, heard


def _of_wish(wish: BudgetRequest | Transfer) -> Iterable[object]:
    return wish.amount, wish.reason if isinstance(wish, BudgetRequest) else wish.note


def snooze(user: User, item: str, how_long: str) -> datetime | None:
    """Put `item` ("machine:<key>", "request:<key>", "transfer:<key>") aside; until when, None until it changes.

    Raises `NotThere`, `Invalid`, or `Conflict` when it waits no more.
    """
    if how_long not in FOR:
        raise Invalid(f"One can snooze for {', '.join(FOR)}.")
    kind, thing = _find(user, item)
    until = _until(how_long)
    Preferences.objects.get_or_create(user=user)  # see `is_known_to_have_none`
    Snooze.objects.update_or_create(
        user=user, kind=kind, thing=str(thing.pk), defaults={"face": face(thing), "until": until}
    )
    said = until.isoformat() if until else ""
    events.record(SNOOZED, subject=user.subject, by=user.username, item=item, until=said)
    return until


def wake(user: User, item: str) -> None:
    """Have it listed again; nothing happens to what was not snoozed."""
    kind, _, key = item.partition(":")
    if Snooze.objects.filter(user=user, kind=kind, thing=key).delete()[0]:
        events.record(WOKEN, subject=user.subject, by=user.username, item=item)


def _find(user: User, item: str) -> tuple[str, Thing]:
    kind, _, key = item.partition(":")
    try:
        found = waiting(user, kind).filter(pk=key).first()
    except (ValueError, ValidationError):  # no key of that kind
        found = None
    if found is None:
        raise Conflict("It waits for you no more.")
    return kind, found


def _until(how_long: str) -> datetime | None:
    if how_long == "change":
        return None
    if how_long == "hour":
        return timezone.now() + timedelta(hours=1)
    tomorrow = timezone.localtime() + timedelta(days=1)  # in the zone of whoever looks
    return tomorrow.replace(hour=MORNING_HOUR, minute=0, second=0, microsecond=0)
