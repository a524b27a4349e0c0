"""What a worker asks a guest when a checkpoint is taken: which files it has, and what is in those that are new."""

from collections.abc import Callable
from typing import Protocol

from django.conf import settings

from checkpoints.contents import captures, manifests
from checkpoints.models import Checkpoint
from checkpoints.states import State
from checkpoints.taking import sharing
from guests import work as guests
from operations.engine import Outcome
from proxmox import errors
from proxmox.connect import driver
from proxmox.driver import Ran

CAPTURE_SECONDS = 60
# Of contents that are handed over while an agent waits; more follows with later captures, or when nobody waits.
HANDED_BYTES = 2 * 1024**2
COMPLETED_BYTES = 256 * 1024**2
RUNNER = '"${GUEST_ROOT:-}/opt/autovibe/runner.py"'
OUT = "/var/lib/autovibe/capture.gz"


class HasCheckpoint(Protocol):
    """What the steps below need of a plan's context; without a checkpoint to take they do nothing."""

    @property
    def checkpoint(self) -> Checkpoint | None: ...


def capture(context: HasCheckpoint) -> Outcome:
    """Ask the guest for its manifest, and for contents that we do not have yet and that are quickly handed over.

    A guest that is off or frozen is not asked: its checkpoint has no list of files, and is as restorable.
    """
    checkpoint = context.checkpoint
    if checkpoint is None or checkpoint.manifest_id:
        return None
    # Whoever makes a call is awake, and waits for us.
    if checkpoint.call_id is None and not guests.is_running(checkpoint.guest):
        return None
    try:
        ran = driver().run(checkpoint.guest.vm, _capture_command(checkpoint), seconds=CAPTURE_SECONDS)
    except errors.AgentAbsent:
        if guests.is_running(checkpoint.guest):
            raise
        return None
    try:
        note(
            checkpoint,
            captures.answer(_stdout(ran)),
            read=lambda: driver().read(checkpoint.guest.vm, OUT),
            fetch=lambda wanted: _contents(checkpoint, wanted),
        )
    except captures.UNREADABLE as error:
        raise errors.ProxmoxError(f"The guest's list of files cannot be read: {error!r}") from None
    return None


def _capture_command(checkpoint: Checkpoint) -> str:
    last = manifests.last_listed(checkpoint.parent)
    same_guest = last is not None and last.guest_id == checkpoint.guest_id
    options = [
        f"--max-file {settings.CHECKPOINT_FILE_MIB_MAX << 20} --max-total {HANDED_BYTES}",
        f"--since {last.digest}" if last and same_guest and last.digest else "",
        "--rest" if settings.CHECKPOINT_SKIP and checkpoint.may_share else "",
        "--freeze" if _agent_works(checkpoint) else "",
    ]
    return f'exec python3 {RUNNER} capture "${{GUEST_ROOT:-}}{OUT}" {" ".join(filter(None, options))}'


def note(
    checkpoint: Checkpoint, said: captures.Answer, *, read: Callable[[], bytes], fetch: manifests.Fetch
) -> None:
    """Keep what was listed, and where the conversation stood; share the last snapshot if that is all it needs."""
    manifests.store(
        checkpoint,
        said.digest,
        read=read,
        fetch=fetch,
        handed=said.handed,
        budget=HANDED_BYTES,
    )
    noted = {
        "work_digest": said.work,
        "rest_digest": said.rest,
        "session": said.transcript.session,
        "transcript": said.transcript.path,
        "transcript_bytes": said.transcript.size,
    }
    Checkpoint.objects.filter(pk=checkpoint.pk).update(**noted)
    checkpoint.work_digest, checkpoint.rest_digest = said.work, said.rest
    sharing.consider(checkpoint)


def unlisted(context: HasCheckpoint, sentence: str) -> None:
    """A guest that cannot list its files is snapshotted all the same; the checkpoint says what it lacks."""
    if context.checkpoint:
        Checkpoint.objects.filter(pk=context.checkpoint.pk).update(error=sentence)


def _contents(checkpoint: Checkpoint, wanted: list[str]) -> bytes:
    """Contents that were not handed out for want of room, or that nobody kept, since its worker was killed."""
    vm, out = checkpoint.guest.vm, f"{OUT}.more"
    script = f'out="$1"; shift; exec python3 {RUNNER} contents "${{GUEST_ROOT:-}}$out" "$@"'
    _stdout(driver().run(vm, script, out, *wanted, seconds=CAPTURE_SECONDS))
    return driver().read(vm, out)


def _stdout(ran: Ran) -> bytes:
    if ran.code:
        raise errors.ProxmoxError(f"the guest answered: {ran.err.decode(errors='replace').strip()[:500]}")
    return ran.out


def digest_now(checkpoint: Checkpoint) -> str:
    """What the guest's files amount to by now; "" when it does not say."""
    again = f'exec python3 {RUNNER} capture "${{GUEST_ROOT:-}}{OUT}.again"'
    ran = driver().run(checkpoint.guest.vm, again, seconds=CAPTURE_SECONDS)
    try:
        return captures.answer(_stdout(ran)).digest
    except captures.UNREADABLE:
        return ""


# --- what holds the agent, and what keeps nobody waiting ---


def _agent_works(checkpoint: Checkpoint) -> bool:
    """Whether files may change while they are listed: not while an agent waits for an answer, or has ended.

    While it waits for the rest of one, it may have begun with the tools that it has heard of.
    """
    return checkpoint.kind == Checkpoint.Kind.MANUAL or checkpoint.trigger == Checkpoint.Trigger.RISK


def is_taken(context: HasCheckpoint) -> bool:
    return context.checkpoint is not None


def holds_agent(context: HasCheckpoint) -> bool:
    return context.checkpoint is not None and _agent_works(context.checkpoint)


def thaw(context: HasCheckpoint) -> Outcome:
    """Let the agent go on that `capture` held still."""
    checkpoint = context.checkpoint
    if checkpoint and holds_agent(context) and guests.is_running(checkpoint.guest):
        driver().run(checkpoint.guest.vm, f"exec python3 {RUNNER} thaw")
    return None


def thawed_by_itself(context: HasCheckpoint, sentence: str) -> None:
    """The runner lets a held agent go on after a while, whether it is told or not."""


def complete(context: HasCheckpoint) -> Outcome:
    """Have the contents handed over that were too large to be waited for; nobody waits now."""
    checkpoint = context.checkpoint
    if checkpoint and checkpoint.manifest and guests.is_running(checkpoint.guest):
        try:
            manifests.complete(
                checkpoint, lambda wanted: _contents(checkpoint, wanted), budget=COMPLETED_BYTES
            )
        except captures.UNREADABLE as error:
            raise errors.ProxmoxError(f"The guest's contents cannot be read: {error!r}") from None
    return None


def lacks_contents(context: HasCheckpoint) -> bool:
    checkpoint = context.checkpoint
    if checkpoint is None or checkpoint.manifest is None or checkpoint.state != State.REQUESTED:
        return False
    return checkpoint.call_id is None and bool(manifests.lacks(checkpoint.manifest))


def incomplete(context: HasCheckpoint, sentence: str) -> None:
    """The list says of each file whether its content was kept."""
