"""Checkpoints' and verifications' lives as tables."""

from django.db import models


class State(models.TextChoices):
    REQUESTED = "requested"
    CAPTURED = "captured"
    PRUNING = "pruning"  # its snapshot and backup are being deleted
    PRUNED = "pruned"  # only the record is left: its place in the tree, what it was for
    BROKEN = "broken"  # it could not be taken, or cannot be returned to any more; says why


MOVES: dict[State, frozenset[State]] = {
    State.REQUESTED: frozenset({State.CAPTURED, State.BROKEN}),
    State.CAPTURED: frozenset({State.BROKEN, State.PRUNING}),
    State.PRUNING: frozenset({State.PRUNED}),
    State.PRUNED: frozenset(),
    State.BROKEN: frozenset({State.PRUNING}),
}
SETTLED = frozenset(State) - {State.REQUESTED}


class Depth(models.TextChoices):
    """How deep a checkpoint is looked into, the cheapest first: each includes those before it."""

    METADATA = "metadata"  # row, snapshot and list of files agree
    CONTENT = "content"  # every file was hashed again in a scratch guest
    BOOT = "boot"  # and an agent of its type could go on there


class Verdict(models.TextChoices):
    REQUESTED = "requested"
    PASSED = "passed"
    FAILED = "failed"
    ABANDONED = "abandoned"  # it could not be found out; says why


VERDICTS: dict[Verdict, frozenset[Verdict]] = {
    Verdict.REQUESTED: frozenset({Verdict.PASSED, Verdict.FAILED, Verdict.ABANDONED}),
    Verdict.PASSED: frozenset(),
    Verdict.FAILED: frozenset(),
    Verdict.ABANDONED: frozenset(),
}
