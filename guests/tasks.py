"""Queue entry points of guests."""

from guests import work
from operations import engine


def halt(operation_id: str) -> None:
    engine.perform(operation_id, work.HALT)


def destroy(operation_id: str) -> None:
    engine.perform(operation_id, work.DESTROY)
