"""One verb for many machines: what it would do to each, and what it did. Each is asked for by itself."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dashboard import consequences, operable
from dashboard.fleet.search import Filter
from machines import actions
from machines.models import Machine, MachineQuerySet
from machines.states import SPAWNING, State
from projects.errors import Invalid, NotThere, Refusal
from projects.models import User
from projects.permissions import operates

MACHINES_MAX = 500
_TOKEN = re.compile(r"(?P<handle>m\d{1,8}):(?P<state>[a-z]+)")
ASK: dict[str, Callable[..., object]] = {
    "pause": actions.pause,
    "resume": actions.resume,
    "checkpoint": actions.checkpoint,
    "terminate": actions.terminate,
}
WORDS = {
    "pause": "Pause",
    "resume": "Resume",
    "checkpoint": "Take a checkpoint of",
    "terminate": "Terminate",
}
SENTENCES = {
    "pause": "Their VMs are frozen in memory, which they keep on their nodes. "
    "They cost no money while they are paused.",
    "resume": "They go on where they were. One that waits for its budget is refused again where there is no room yet.",
    "checkpoint": "Each VM is frozen for a moment while its snapshot is taken; then it goes on.",
    "terminate": "Their agents are stopped, a final checkpoint of each is taken, and their VMs are switched off. "
    "The checkpoints stay: you can branch from them or roll back to them.",
}


@dataclass(frozen=True)
class Entry:
    """A machine that was chosen; `skipped` says why nothing would be done to it."""

    machine: Machine
    skipped: str

    @property
    def token(self) -> str:
        """What the form sends back: the machine, and the state that it was listed in."""
        return f"{self.machine.handle}:{self.machine.state}"


@dataclass(frozen=True)
class Plan:
    """What a verb would do to the machines that were chosen."""

    verb: str
    entries: list[Entry]

    @property
    def taken(self) -> list[Entry]:
        return [entry for entry in self.entries if not entry.skipped]

    @property
    def skipped(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.skipped]

    @property
    def button(self) -> str:
        """What is done to how many."""
        many = len(self.taken)
        return f"{WORDS[self.verb]} {many} machine{'' if many == 1 else 's'}"

    @property
    def danger(self) -> bool:
        return self.verb == "terminate"

    @property
    def sentences(self) -> list[str]:
        """What follows."""
        early = sum(entry.machine.state in SPAWNING for entry in self.taken)
        if self.danger and early:
            are = "has not run yet: it is" if early == 1 else "have not run yet: they are"
            return [SENTENCES[self.verb], f"{early} of them {are} called off, without a checkpoint."]
        return [SENTENCES[self.verb]]


class Outcome(NamedTuple):
    """What became of one machine: `done`, or why not. `there`: it has a page that the user may see."""

    handle: str
    done: bool
    sentence: str
    there: bool = True


def chosen(user: User, asked: Mapping[str, str], handles: Iterable[str]) -> MachineQuerySet:
    """The machines of those handles; with `all`, every one that the filter finds now.

    Raises `Invalid` where the filter is not understood or there are too many of them.
    """
    machines = Machine.objects.permitted(user, "view_project")
    if "all" not in asked:
        return machines.filter(number__in={Machine.number_of(handle) for handle in handles} - {None})
    sought = Filter.read(asked)
    if sought.problems:
        raise Invalid(" ".join(sought.problems))
    found = sought.apply(machines)
    if found.count() > MACHINES_MAX:
        raise Invalid(f"These are more than {MACHINES_MAX} machines; ask for fewer at once.")
    return found


def plan(user: User, verb: str, machines: MachineQuerySet) -> Plan:
    """What the verb would do to each."""
    listed = list(machines.select_related("project", "guest").order_by("number"))
    operated = operable.of(user, listed)
    entries = [Entry(one, _why_not(verb, one, may=one.pk in operated)) for one in listed]
    return Plan(verb, entries)


def act(user: User, verb: str, tokens: Iterable[str]) -> list[Outcome]:
    """Ask for the verb of exactly the machines that were listed, and of none that is in another state by now."""
    listed = [found for token in dict.fromkeys(tokens) if (found := _TOKEN.fullmatch(token))]
    return [_act(user, verb, found["handle"], found["state"]) for found in listed[:MACHINES_MAX]]


def _act(user: User, verb: str, handle: str, state: str) -> Outcome:
    try:
        machine = actions.find(handle, user=user)
        if refusal := _refusal(user, machine, state):
            return Outcome(machine.handle, False, refusal)
        ASK[verb](machine, by=user)
    except NotThere as gone:
        return Outcome(handle, False, str(gone), there=False)
    except Refusal as refused:
        return Outcome(handle, False, str(refused))
    return Outcome(machine.handle, True, consequences.SAID[verb].format(handle=machine.handle))


def _refusal(user: User, machine: Machine, state: str) -> str:
    if not operates(user, machine):
        return "You may not operate it."
    if machine.state != state:
        was = State(state).label.lower() if state in State.values else "something else"
        return f"It was {was} when you chose it, and is {machine.get_state_display().lower()} now."
    return ""


def _why_not(verb: str, machine: Machine, *, may: bool) -> str:
    if not may:
        return "You may not operate it."
    return "" if verb in machine.verbs else consequences.impossible(verb, machine)
