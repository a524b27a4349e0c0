"""Which operations a piece of code begins, for who has to say where they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

_watching: ContextVar[list[UUID] | None] = ContextVar("begun", default=None)


@contextmanager
def watched() -> Iterator[list[UUID]]:
    """The ids of the operations that are begun inside, in their order."""
    begun: list[UUID] = []
    before = _watching.set(begun)
    try:
        yield begun
    finally:
        _watching.reset(before)


def note(operation_id: UUID) -> None:
    """One was begun."""
    watching = _watching.get()
    if watching is not None:
        watching.append(operation_id)
