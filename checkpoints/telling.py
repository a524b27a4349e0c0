"""Saying what became of a checkpoint: an event of its own, and the bell of the machine that left it."""

from typing import Any

from checkpoints.models import Checkpoint
from checkpoints.states import State
from events import actions as events


def record(kind: str, checkpoint: Checkpoint, *, by: str = events.SYSTEM, **data: Any) -> None:
    """Append the event, in the caller's transaction."""
    project_id = checkpoint.project_id
    events.record(
        kind, subject=checkpoint.subject, project_id=project_id, by=by, handle=checkpoint.handle, **data
    )
    events.ring(kind, subject=checkpoint.origin, project_id=project_id)


def fail(checkpoint: Checkpoint, sentence: str) -> None:
    """It cannot be returned to, or not any more. In the caller's transaction."""
    checkpoint.move(State.BROKEN, error=sentence)
    record("checkpoint.broken", checkpoint, error=sentence)
