"""Saying what became of a checkpoint: an event of its own, and the bell of the machine that left it."""

from typing import Any

from checkpoints.models import Checkpoint
from events import actions as events


def record(kind: str, checkpoint: Checkpoint, *, by: str = events.SYSTEM, **data: Any) -> None:
    """Append the event, in the caller's transaction."""
    project_id = checkpoint.project_id
    events.record(
        kind, subject=checkpoint.subject, project_id=project_id, by=by, handle=checkpoint.handle, **data
    )
    events.ring(kind, subject=checkpoint.origin, project_id=project_id)
