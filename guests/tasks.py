"""Queue entry points of guests."""

from guests import work
from operations import engine


def destroy(operation_id: str) -> None:
    engine.perform(operation_id, work.DESTROY)
