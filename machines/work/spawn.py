"""Spawning: clone → mark → start → agent answers → bundle → the agent starts.

A checkpoint whose snapshot is damaged is made a machine of from its backup, where it has one. No other state is taken
without asking: the sentence names the nearest.
"""

from collections.abc import Callable

from django.conf import settings

from checkpoints.trust import fallback
from checkpoints.trust.giving_up import give_up
from guests import actions as guest_actions
from guests import locks, making
from guests import work as guests
from guests.branching import from_backup
from guests.models import Guest, Source
from machines.size import CORES, MEMORY_MIB
from machines.states import State
from machines.work import bundle, identity, network
from machines.work.context import Work, failed, load, moved, running
from operations.engine import Outcome, Plan, Step
from operations.slots import Slots
from proxmox import errors


def _source(work: Work) -> Source:
    source = work.machine.source.source
    if work.operation.arguments.get("from_backup"):
        return source._replace(branching=from_backup(source.guest))
    return source


def _rewind(work: Work) -> Outcome:
    return making.rewind(_source(work))


def _slots(work: Work) -> Slots:
    return making.clone_slots(_source(work))


def _blocked(work: Work) -> str:
    return locks.blocked(work.machine.guest, work.machine.source.guest)


def _clone(work: Work) -> Outcome:
    machine = work.machine
    if machine.state == State.REQUESTED:
        moved(work, State.CLONING)
    description = f"autovibe machine {machine.handle} of project {machine.project.slug}"
    return making.clone(
        machine.guest,
        _source(work),
        name=machine.handle,
        description=description,
        pool=settings.PROXMOX_POOL,
    )


def _look_for_clone(work: Work) -> bool | str:
    return making.look_for_clone(work.machine.guest, _source(work), work.asked_at.timestamp())


def _mark(work: Work) -> Outcome:
    if work.machine.state == State.CLONING:
        moved(work, State.PROVISIONING)
    return making.mark(work.machine.guest, cores=CORES, memory_mib=MEMORY_MIB)


def send_bundle(work: Work, *, resume: bool, prompt: str, files: bool, fork: bool = True) -> Outcome:
    """Put the runner and the bundle into the guest. `fork`: it is a copy, or was put back, and becomes somebody."""
    bundle.prepare(work.machine)
    of = identity.fork_of(work) if fork else ""
    state = (work.target or work.machine.source) if fork else None
    proofs = bundle.send(work.machine, resume=resume, prompt=prompt, files=files, fork=of, state=state)
    if fork:
        identity.prove(work, proofs)
    return None


def start_agent(work: Work) -> Outcome:
    """Start the agent; idempotent per run."""
    bundle.start(work.machine)
    return None


def _send(work: Work) -> Outcome:
    machine = work.machine
    return send_bundle(work, resume=machine.continues, prompt=machine.prompt, files=True)


def _guest(work: Work) -> Guest:
    return work.machine.guest


def _wanted(act: Callable[[Work], Outcome]) -> Callable[[Work], Outcome]:
    """The step, unless somebody has terminated the machine meanwhile."""

    def checked(work: Work) -> Outcome:
        if _terminated(work):
            raise errors.Refused("It was terminated while it was being spawned.")
        return act(work)

    return checked


def _terminated(work: Work) -> bool:
    work.machine.refresh_from_db(fields=["state"])
    return work.machine.state == State.STOPPING


def _spawned(work: Work) -> None:
    if not _terminated(work):  # else `cancel` is next in line
        running(work)


def _instead(work: Work, sentence: str, error: errors.ProxmoxError) -> str:
    """What a snapshot held that is damaged, or gone, is in its backup, too. Later steps say nothing of the source."""
    arguments = work.operation.arguments
    if work.operation.step not in {"rewind", "clone"} or not isinstance(
        error, errors.Damaged | errors.Missing
    ):
        return ""
    if work.machine.source.holder.backup and not arguments.get("from_backup"):
        work.operation.note(arguments={**arguments, "from_backup": True})
        return "clone"
    if isinstance(error, errors.Damaged):
        work.operation.note(arguments={**arguments, "damaged": True})
    return ""


def _failed(work: Work, sentence: str) -> None:
    """No checkpoint lives in a guest that never ran: it goes."""
    if _terminated(work):
        return
    if work.operation.arguments.get("damaged"):
        sentence = f"{sentence.rstrip('.')}. {_give_up_source(work, sentence)}"
    failed(work, sentence)
    guest_actions.condemn(work.machine.guest)


def _give_up_source(work: Work, sentence: str) -> str:
    """Its source cannot be cloned any more, and nor can what lives in the same snapshot; which other one can."""
    machine, source = work.machine, work.machine.source
    give_up(source, sentence)
    found = fallback.haven(source, without=[source.pk])
    if found is None:
        return "There is nothing before it to branch from."
    told = fallback.told(found.handle, fallback.cost(source, found), machine.project.currency)
    return f"Branch from {told}: bin/autovibe branch {found.handle}"


PLAN: Plan[Work] = Plan(
    load=load,
    steps=(
        Step("rewind", "Putting the source back", _wanted(_rewind), slots=_slots),
        Step("clone", "Cloning", _wanted(_clone), look=_look_for_clone, slots=_slots),
        Step("mark", "Setting size and mark", _wanted(_mark)),
        identity.COMPARED._replace(act=_wanted(identity.compare_addresses)),
        network.CLOSE._replace(act=_wanted(network.close)),
        Step("start", "Starting the VM", _wanted(lambda work: guests.start(_guest(work)))),
        Step("agent", "Waiting for the guest agent", _wanted(lambda work: guests.await_agent(_guest(work)))),
        Step("files", "Writing prompt and files", _wanted(_send)),
        network.IN_FORCE._replace(act=_wanted(network.await_force)),
        Step("launch", "Starting the agent", _wanted(start_agent)),
    ),
    succeed=_spawned,
    fail=_failed,
    blocked=_blocked,
    instead=_instead,
)
