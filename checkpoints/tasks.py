"""Queue entry points of checkpoints."""

from checkpoints import work
from operations import engine


def take(operation_id: str) -> None:
    engine.perform(operation_id, work.TAKE)
