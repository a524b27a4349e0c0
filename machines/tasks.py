"""Queue entry points of machines, one per verb."""

from machines.work import pause as pausing
from machines.work import rollback as going_back
from machines.work import spawn as spawning
from machines.work import terminate as ending
from operations import engine


def spawn(operation_id: str) -> None:
    engine.perform(operation_id, spawning.PLAN)


def pause(operation_id: str) -> None:
    engine.perform(operation_id, pausing.PAUSE)


def resume(operation_id: str) -> None:
    engine.perform(operation_id, pausing.RESUME)


def rollback(operation_id: str) -> None:
    engine.perform(operation_id, going_back.PLAN)


def cancel(operation_id: str) -> None:
    engine.perform(operation_id, ending.CANCEL)


def terminate(operation_id: str) -> None:
    engine.perform(operation_id, ending.PLAN)
