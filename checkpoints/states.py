"""A checkpoint's life as a table."""

from django.db import models


class State(models.TextChoices):
    REQUESTED = "requested"
    CAPTURED = "captured"
    BROKEN = "broken"  # it could not be taken; says why


MOVES: dict[State, frozenset[State]] = {
    State.REQUESTED: frozenset({State.CAPTURED, State.BROKEN}),
    State.CAPTURED: frozenset({State.BROKEN}),
    State.BROKEN: frozenset(),
}
SETTLED = frozenset({State.CAPTURED, State.BROKEN})
