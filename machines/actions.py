"""What people, programs and guests may ask of a machine. Nothing here talks to Proxmox; callers check rights."""

from collections.abc import Iterable
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from budgets import actions as budgets
from budgets.errors import Exhausted
from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint
from events import actions as events
from guests import actions as guests
from machines import tokens, types
from machines.models import Machine, MachineFile, next_number
from machines.modifications import Modification
from machines.states import CALLING, SPAWNING, VERBS, State
from operations import actions as operations
from operations.models import Operation
from projects.errors import Conflict, Invalid, NotThere
from projects.models import Project, User

PROMPT_CHARACTERS_MAX = 200_000


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
    idempotency_key: str | None = None,
) -> Machine:
    """A new machine from a checkpoint: guest, budget, operation and event in one transaction.

    `limits` caps this machine alone: micros of money, tokens, calls. Asked again with the same key, the first
    machine is returned. Raises `Invalid`, `Conflict`, or `budgets.errors.Exhausted`.
    """
    if idempotency_key and (twin := project.machine_set.filter(idempotency_key=idempotency_key).first()):
        return twin
    _check(project, source, type_name, prompt, wall_seconds)
    _require_money(project, limits or {})
    try:
        with transaction.atomic():
            return _spawn(
                project=project,
                source=source,
                type_name=type_name,
                prompt=prompt,
                by=by,
                modifications=modifications,
                limits=limits or {},
                model=model,
                wall_seconds=wall_seconds or settings.MACHINE_WALL_SECONDS,
                idempotency_key=idempotency_key,
            )
    except IntegrityError:
        if twin := project.machine_set.filter(idempotency_key=idempotency_key).first():
            return twin
        raise


def _check(
    project: Project, source: Checkpoint, type_name: str, prompt: str, wall_seconds: int | None
) -> None:
    try:
        types.get(type_name)
    except types.UnknownType as error:
        raise Invalid(str(error)) from None
    if not prompt.strip():
        raise Invalid("The prompt is empty: say what the machine is to do.")
    if "\x00" in prompt:
        raise Invalid("The prompt holds a NUL character.")
    if len(prompt) > PROMPT_CHARACTERS_MAX:
        raise Invalid(f"The prompt has {len(prompt):,} characters; {PROMPT_CHARACTERS_MAX:,} is the most.")
    if source.project_id != project.id:
        raise Invalid(f"Checkpoint {source.handle} belongs to another project than {project.slug}.")
    if wall_seconds is not None and not 10 <= wall_seconds <= 30 * 86400:
        raise Invalid("The time limit must be between 10 seconds and 30 days.")
    checkpoints.require_usable(source)


def _require_money(project: Project, limits: dict[str, int]) -> None:
    """A machine that could not make a single call is not spawned at all."""
    if empty := [resource for resource, limit in limits.items() if limit <= 0]:
        raise Invalid(f"A limit of 0 {empty[0]} lets the machine make no call: give more, or leave it out.")
    if not budgets.has_room(project):
        raise Exhausted(
            f"Project {project.slug} has nothing left to spend. Raise its limit: "
            f"bin/autovibe budget set {project.slug} money 10"
        )


def _spawn(
    *,
    project: Project,
    source: Checkpoint,
    type_name: str,
    prompt: str,
    by: User,
    modifications: Iterable[Modification],
    limits: dict[str, int],
    model: str,
    wall_seconds: int,
    idempotency_key: str | None,
) -> Machine:
    machine = Machine.objects.create(
        number=next_number(),
        project=project,
        type=type_name,
        prompt=prompt,
        model=model,
        source=source,
        # A clone of a guest's snapshot lands on that guest's node, where the snapshot is.
        guest=guests.allocate(project, node=source.guest.node),
        continues=_continues(source, type_name),
        wall_seconds=wall_seconds,
        created_by=by,
        idempotency_key=idempotency_key,
    )
    MachineFile.objects.bulk_create(MachineFile(machine=machine, **one._asdict()) for one in modifications)
    for resource, limit in limits.items():
        budgets.set_limit(
            project, resource, limit, by=by, machine_id=machine.id, scope=f"Machine {machine.handle}"
        )
    _record(machine, "machine.requested", by=by, source=source.handle, type=type_name)
    _begin("spawn", machine, by=by)
    return machine


def _continues(source: Checkpoint, type_name: str) -> bool:
    """Whether the source holds a conversation that this type of agent can go on with."""
    parent = machine_of(source)
    return parent is not None and parent.type == type_name and bool(types.get(type_name).resume_command)


def machine_of(checkpoint: Checkpoint) -> Machine | None:
    """The machine that left the checkpoint; None for a genesis."""
    kind, _, key = checkpoint.origin.partition(":")
    return Machine.objects.filter(pk=key).first() if kind == "machine" else None


@transaction.atomic
def checkpoint(machine: Machine, *, by: User, why: str = "") -> Checkpoint:
    """Take a checkpoint of the machine as it is."""
    _require(machine, "checkpoint")
    prepared = _prepare(machine, Checkpoint.Kind.MANUAL, why or f"Asked for by {by.username}")
    return checkpoints.take(prepared, by=by)


@transaction.atomic
def checkpoint_before_call(machine: Machine, call_number: int, call_id: UUID) -> UUID | None:
    """Take the checkpoint around a model call, if the machine's type wants one; returns its id.

    When request N+1 arrives the agent is waiting, and all that answer N caused is on disk.
    """
    if machine.state not in CALLING or types.get(machine.type).checkpoints == "none":
        return None
    why = f"After answer {call_number - 1}" if call_number > 1 else "Before the first call"
    begun = machine.continues or call_number > 1
    prepared = _prepare(machine, Checkpoint.Kind.AUTOMATIC, why, begun=begun, call_id=call_id)
    return checkpoints.take(prepared, by=None).id


@transaction.atomic
def pause(machine: Machine, *, by: User) -> Operation:
    """Freeze the machine in memory until somebody resumes it."""
    _require(machine, "pause")
    machine.move(State.PAUSING, paused_for=Machine.PausedFor.PERSON, sentence=f"Paused by {by.username}.")
    _record(machine, "machine.pausing", by=by)
    return _begin("pause", machine, by=by)


@transaction.atomic
def out_of_budget(machine: Machine, sentence: str) -> None:
    """A call was refused for want of budget: keep the state, and pause until somebody raises the limit.

    An agent may be refused before the worker that started it has said that it runs; then it is noted for that worker.
    """
    why = {"paused_for": Machine.PausedFor.BUDGET, "sentence": sentence}
    if Machine.objects.filter(pk=machine.pk, state__in=CALLING - {State.RUNNING}).update(**why):
        return
    try:
        machine.move(State.PAUSING, **why)
    except Conflict:  # refused twice, or already ending
        return
    _record(machine, "machine.out_of_budget", sentence=sentence)
    kept = _prepare(machine, Checkpoint.Kind.AUTOMATIC, "The budget ended")
    _begin("pause", machine, by=None, checkpoint=str(kept.id))


@transaction.atomic
def switched_off(machine: Machine) -> None:
    """Its guest was switched off from outside: nothing is lost, and somebody decides when it goes on."""
    sentence = f"Its guest was switched off. To go on where it was: bin/autovibe resume {machine.handle}"
    machine.move(
        State.PAUSED, paused_for=Machine.PausedFor.GUEST, paused_at=timezone.now(), sentence=sentence
    )
    _record(machine, "machine.switched_off", sentence=sentence)


@transaction.atomic
def resume(machine: Machine, *, by: User) -> Operation:
    """Let a paused machine go on. An agent that ended meanwhile is started again, in the same conversation."""
    _require(machine, "resume")
    restart = machine.paused_for == Machine.PausedFor.BUDGET or machine.exit_code is not None
    machine.move(State.RESUMING, paused_for="", sentence="")
    _record(machine, "machine.resuming", by=by)
    return _begin("resume", machine, by=by, restart=restart)


@transaction.atomic
def rollback(machine: Machine, target: Checkpoint, *, by: User) -> Operation:
    """Put the machine back to one of its own checkpoints and go on from there. The present is kept first."""
    _require(machine, "rollback")
    checkpoints.require_usable(target)
    if target.guest_id != machine.guest_id:
        raise Conflict(
            f"Checkpoint {target.handle} lives in another guest than {machine.handle}. "
            f'Branch instead: autovibe branch {target.handle} "…"'
        )
    was = machine.state
    machine.move(State.RESTORING, paused_for="", sentence="", ended_at=None, exit_code=None)
    _record(machine, "machine.restoring", by=by, target=target.handle)
    arguments = {"target": str(target.id)}
    if was in {State.RUNNING, State.PAUSED}:  # else the machine's last checkpoint is its present
        kept = _prepare(machine, Checkpoint.Kind.MANUAL, f"Before the return to {target.handle}")
        arguments["checkpoint"] = str(kept.id)
    return _begin("rollback", machine, by=by, **arguments)


@transaction.atomic
def terminate(machine: Machine, *, by: User) -> Operation:
    """End the machine: a final checkpoint, then the guest is switched off. One that is being spawned just goes."""
    _require(machine, "terminate")
    sentence = f"Terminated by {by.username}."
    if machine.state not in SPAWNING:
        return end(machine, sentence=sentence, by=by)
    machine.move(State.STOPPING, sentence=sentence)
    _record(machine, "machine.stopping", by=by, sentence=sentence)
    return _begin("cancel", machine, by=by)


@transaction.atomic
def end(machine: Machine, *, sentence: str, by: User | None = None) -> Operation:
    """Begin the end, however it came about; `machine.exit_code` decides whether it counts as failed."""
    machine.move(State.STOPPING, sentence=sentence)
    _record(machine, "machine.stopping", by=by, sentence=sentence)
    final = _prepare(machine, Checkpoint.Kind.FINAL, "The end")
    return _begin("terminate", machine, by=by, checkpoint=str(final.id))


@transaction.atomic
def lost(machine: Machine, sentence: str, *, keep: bool = False) -> None:
    """The guest is no longer what it should be: say so, and switch it off. `keep`: with a last checkpoint."""
    machine.move(State.FAILED, sentence=sentence)
    tokens.revoke(machine)
    _record(machine, "machine.failed", sentence=sentence)
    if keep:
        checkpoints.take(_prepare(machine, Checkpoint.Kind.FINAL, "As it was when it failed"), by=None)
    guests.halt(machine.guest)


def find(reference: str, *, user: User | AnonymousUser, permission: str = "view_project") -> Machine:
    """The machine with that handle ("m12") or id, if `user` may see it."""
    visible = (
        Machine.objects.permitted(user, permission)
        .with_spending()
        .select_related("project", "guest", "source", "present")
    )
    if machine := visible.filter(_reference(reference)).first():
        return machine
    raise NotThere(f"There is no machine {reference!r} that you may see.")


def _reference(reference: str) -> Q:
    if reference[:1] == "m" and reference[1:].isdecimal() and len(reference) < 10:
        return Q(number=int(reference[1:]))
    try:
        return Q(pk=UUID(reference))
    except ValueError:
        return Q(pk=None)


def _require(machine: Machine, verb: str) -> None:
    if machine.state in VERBS[verb]:
        return
    allowed = ", ".join(machine.verbs) or "nothing, until it is further"
    raise Conflict(
        f"Machine {machine.handle} is {machine.get_state_display().lower()}; “{verb}” is not possible now. "
        f"Possible: {allowed}."
    )


def _prepare(
    machine: Machine,
    kind: Checkpoint.Kind,
    why: str,
    *,
    begun: bool | None = None,
    call_id: UUID | None = None,
) -> Checkpoint:
    prepared = checkpoints.prepare(
        project=machine.project,
        guest=machine.guest,
        origin=machine.subject,
        name=machine.handle,
        kind=kind,
        why=why,
        parent=machine.present or machine.source,
        begun=_has_begun(machine) if begun is None else begun,
        call_id=call_id,
    )
    Machine.objects.filter(pk=machine.pk).update(present=prepared)
    machine.present = prepared
    return prepared


def _has_begun(machine: Machine) -> bool:
    """Whether the agent's conversation has begun by now: it has when a call was made since the last checkpoint."""
    last = machine.present
    return machine.continues or (last is not None and (last.begun or last.call_id is not None))


def _begin(verb: str, machine: Machine, *, by: User | None, **arguments: object) -> Operation:
    return operations.begin(
        verb,
        subject=machine.subject,
        project=machine.project,
        lock=machine.guest.subject,
        task=f"machines.tasks.{verb}",
        by=by,
        machine=str(machine.id),
        **arguments,
    )


def _record(machine: Machine, kind: str, *, by: User | None = None, **data: object) -> None:
    actor = by.username if by else events.SYSTEM
    events.record(
        kind, subject=machine.subject, project_id=machine.project_id, by=actor, handle=machine.handle, **data
    )
