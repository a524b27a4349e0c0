"""Queue entry points of guests."""

from guests import checks, work
from operations import engine


def halt(operation_id: str) -> None:
    engine.perform(operation_id, work.HALT)


def drop_snapshot(operation_id: str) -> None:
    engine.perform(operation_id, work.DROP_SNAPSHOT)


def destroy(operation_id: str) -> None:
    engine.perform(operation_id, work.DESTROY)


def diagnose(diagnosis_id: int) -> None:
    checks.carry_out(diagnosis_id)
