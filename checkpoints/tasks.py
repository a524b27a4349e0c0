"""Queue entry points of checkpoints."""

from checkpoints import work
from checkpoints.contents import garbage
from checkpoints.keeping import pruning
from operations import engine


def take(operation_id: str) -> None:
    engine.perform(operation_id, work.TAKE)


def prune(operation_id: str) -> None:
    engine.perform(operation_id, pruning.PRUNE)


def sweep() -> None:
    garbage.sweep_all()
