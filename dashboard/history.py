"""Events of a machine as sentences."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dashboard.pages import number
from events.models import Event
from machines.models import Machine

EVENTS_SHOWN = 60
SENTENCES = {
    "machine.requested": "Requested from {source}",
    "machine.cloning": "Cloning began",
    "machine.provisioning": "Cloned; its guest is being prepared",
    "machine.identity": "Made a guest of its own: identity, keys, address, token",
    "machine.running": "Running",
    "machine.pausing": "Asked to pause",
    "machine.paused": "Paused",
    "machine.resuming": "Asked to resume",
    "machine.message": "Was told: {text}",
    "receipt.issued": "A receipt was issued",
    "machine.message_delivered": "Its agent heard what {author} said",
    "machine.restoring": "Asked to return to {target}",
    "machine.ending_soon": "Asked to end in {seconds} s",
    "machine.stopping": "Its end began",
    "machine.terminated": "Terminated",
    "machine.failed": "Failed",
    "machine.acknowledged": "Its failure was seen; it needs nobody any more",
    "machine.out_of_budget": "Out of budget",
    "console.opened": "Console opened",
    "console.closed": "Console closed after {seconds} s",
    "machine.held_back": "Held back: its project spends too fast",
    "machine.switched_off": "Its VM was switched off from outside",
    "machine.landing": "Told to wrap up: a budget is nearly used up",
    "machine.refunded": "There is room in its budgets again",
    "budget.requested": "Asked for more of the limit of {scope}",
    "budget.request_granted": "Was granted more of the limit of {scope}",
    "budget.request_denied": "Was denied more of the limit of {scope}",
    "budget.request_withdrawn": "No more is asked for",
    "checkpoint.missed": "The checkpoint before call {call} could not be asked for",
}
# What somebody asked for; the rest followed from it.
ASKED = frozenset(
    {
        "requested",
        "pausing",
        "resuming",
        "message",
        "restoring",
        "ending_soon",
        "stopping",
        "acknowledged",
        "console.opened",
        "console.closed",
    }
)
SYSTEM = "system"


@dataclass(frozen=True)
class Change:
    """One value, as it was and as it is."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Told:
    """An event in words; `detail` is the sentence that came with it, `changes` what was before and is after."""

    at: datetime
    text: str
    detail: str
    by: str
    changes: list[Change]


def of(machine: Machine, *, before: str = "", until: datetime | None = None) -> tuple[list[Told], int | None]:
    """The machine's events, newest first: those `before` an id, up to a moment; and before which there are more."""
    found = Event.objects.filter(subject=machine.subject)
    if until:
        found = found.filter(at__lte=until)
    if older_than := number(before):
        found = found.filter(pk__lt=older_than)
    rows = list(found.order_by("-id")[: EVENTS_SHOWN + 1])
    more = rows[EVENTS_SHOWN - 1].pk if len(rows) > EVENTS_SHOWN else None
    return [_tell(event) for event in rows[:EVENTS_SHOWN]], more


def _tell(event: Event) -> Told:
    data: dict[str, Any] = event.data
    pattern = SENTENCES.get(event.kind, event.kind)
    try:
        text = pattern.format_map(data)
    except KeyError:
        text = event.kind
    detail = str(data.get("sentence") or data.get("error") or "")
    asked = event.kind.removeprefix("machine.") in ASKED and event.actor != SYSTEM
    return Told(event.at, text, detail, event.actor if asked else "", _changes(data))


def _changes(data: dict[str, Any]) -> list[Change]:
    """What it says of before and after; the present value stands beside it under the same name."""
    before = data.get("before")
    if not isinstance(before, dict):
        return []
    return [Change(name, str(old), str(data.get(name, "–"))) for name, old in before.items()]
