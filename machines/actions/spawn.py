"""Spawning: everything that a new machine needs, in one transaction, or a sentence why not."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from django.conf import settings
from django.db import IntegrityError, transaction

from budgets import actions as budgets
from budgets.errors import Exhausted
from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint
from checkpoints.triggers.policy import checked
from guests import actions as guests
from guests.profiles import Profile, stricter
from machines import types
from machines.actions.begin import begin, record
from machines.actions.lookup import machine_of
from machines.forecast import predict
from machines.models import Machine, MachineFile, next_number
from machines.modifications import Modification
from projects.errors import Invalid
from projects.models import Project, User

PROMPT_CHARACTERS_MAX = 200_000
WALL_SECONDS_MIN, WALL_SECONDS_MAX = 10, 30 * 86400


class Replay(NamedTuple):
    """Whose record answers the model calls of a machine that is spawned, and how."""

    of: Machine
    lenient: bool = False  # go on where the agent departs from the record
    paced: bool = False  # as slowly as it was


def spawn(
    *,
    project: Project,
    source: Checkpoint,
    type_name: str,
    prompt: str,
    by: User,
    modifications: Iterable[Modification] = (),
    limits: dict[str, int] | None = None,
    model: str = "",
    wall_seconds: int | None = None,
    network: str = "",
    departures: Mapping[str, object] | None = None,
    idempotency_key: str | None = None,
    replay: Replay | None = None,
) -> Machine:
    """A new machine from a checkpoint: guest, budget, operation and event in one transaction.

    Without a prompt its agent goes on with the conversation in the checkpoint.

    `limits` caps this machine alone: micros of money, tokens, calls. `network` is a stricter profile than its type's;
    `departures` say when its checkpoints are taken, where that is otherwise than its type and project have it.
    Asked again with the same key, the first machine is returned. A `replay` costs nothing, so it needs no money.

    Raises `Invalid`, `Conflict`, or `budgets.errors.Exhausted`.
    """
    if twin := _twin(project, idempotency_key):
        return twin
    machine = Machine(
        project=project,
        type=type_name,
        prompt=prompt,
        model=model,
        source=source,
        wall_seconds=settings.MACHINE_WALL_SECONDS if wall_seconds is None else wall_seconds,
        created_by=by,
        idempotency_key=idempotency_key,
    )
    if replay:
        machine.replays, machine.replays_leniently, machine.replays_paced = replay
    _check(machine)
    machine.network = _network(machine, network)
    machine.checkpoints = _departures(machine) if departures is None else checked(departures)
    if not replay:
        _require_money(project, limits or {}, by)
    expected = predict.predict(project=project, user=by, type_name=type_name, prompt=prompt, model=model)
    try:
        with transaction.atomic():
            made = _create(machine, modifications, limits or {}, by)
            if not replay:  # that costs nothing, whatever like machines did
                predict.remember(made, expected)
            return made
    except IntegrityError:  # the same key, at the same moment
        if twin := _twin(project, idempotency_key):
            return twin
        raise


def _twin(project: Project, key: str | None) -> Machine | None:
    return Machine.objects.filter(project=project, idempotency_key=key).first() if key else None


def _check(machine: Machine) -> None:
    prompt, project, source = machine.prompt, machine.project, machine.source
    try:
        types.get(machine.type)
    except types.UnknownType as error:
        raise Invalid(str(error)) from None
    if "\x00" in prompt:
        raise Invalid("The prompt holds a NUL character.")
    if len(prompt) > PROMPT_CHARACTERS_MAX:
        raise Invalid(f"The prompt has {len(prompt):,} characters; {PROMPT_CHARACTERS_MAX:,} is the most.")
    if source.project_id != project.id:
        raise Invalid(f"Checkpoint {source.handle} belongs to another project than {project.slug}.")
    if not WALL_SECONDS_MIN <= machine.wall_seconds <= WALL_SECONDS_MAX:
        raise Invalid("The time limit must be between 10 seconds and 30 days.")
    if not prompt.strip() and not _continues(machine):
        raise Invalid(
            f"The prompt is empty, and {source.handle} holds no conversation that an agent of type {machine.type} "
            "could go on with: say what the machine is to do."
        )
    checkpoints.require_branchable(source)


def _network(machine: Machine, asked: str) -> str:
    """The profile that was asked for, within what its type allows here; a branch keeps its parent's strictness."""
    allowed = types.get(machine.type).network_here
    if not asked:
        parent = machine_of(machine.source)
        return stricter(allowed, parent.network if parent else allowed)
    if asked not in Profile.values:
        raise Invalid(f"There is no network profile {asked!r}; there are {', '.join(Profile.values)}.")
    if stricter(allowed, asked) != asked:
        raise Invalid(
            f"Machines of type {machine.type} may have the network profile “{allowed}” at most here."
        )
    return asked


def _departures(machine: Machine) -> dict[str, object]:
    """A branch keeps what its parent said of its checkpoints."""
    parent = machine_of(machine.source)
    return dict(parent.checkpoints) if parent else {}


def _require_money(project: Project, limits: dict[str, int], by: User) -> None:
    """A machine that could not make a single call is not spawned at all."""
    if empty := [resource for resource, limit in limits.items() if limit <= 0]:
        raise Invalid(f"A limit of 0 {empty[0]} lets the machine make no call: give more, or leave it out.")
    if not budgets.has_room(budgets.Payer(project.id, member_id=by.pk, hub=project.hub)):
        raise Exhausted(
            f"Project {project.slug} has nothing left to spend. Raise its limit: "
            f"bin/autovibe budget set {project.slug} money 10"
        )


def _create(
    machine: Machine, modifications: Iterable[Modification], limits: dict[str, int], by: User
) -> Machine:
    project, source = machine.project, machine.source
    checkpoints.hold(source)
    machine.number = next_number()
    machine.guest = guests.allocate(project, source.guest)
    machine.continues = _continues(machine)
    machine.save(force_insert=True)
    MachineFile.objects.bulk_create(MachineFile(machine=machine, **one._asdict()) for one in modifications)
    for resource, limit in limits.items():
        budgets.set_limit(
            project, resource, limit, by=by, machine_id=machine.id, scope=f"Machine {machine.handle}"
        )
    replayed = {"replays": machine.replays.handle} if machine.replays else {}
    record(machine, "machine.requested", by=by, source=source.handle, type=machine.type, **replayed)
    begin("spawn", machine, by=by)
    return machine


def _continues(machine: Machine) -> bool:
    """Whether the source holds a conversation that this type of agent can go on with."""
    parent = machine_of(machine.source)
    same = parent is not None and parent.type == machine.type
    return same and machine.source.begun and bool(types.get(machine.type).resume_command)
