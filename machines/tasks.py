"""Queue entry points of machines, one per verb."""

from checkpoints.contents import accounting
from machines.keeping import pruning, storage
from machines.work import export as exporting
from machines.work import message as telling
from machines.work import pause as pausing
from machines.work import restore_file as restoring
from machines.work import rollback as going_back
from machines.work import spawn as spawning
from machines.work import survey as surveying
from machines.work import terminate as ending
from machines.work import verify as verifying
from operations import engine
from projects.models import Project


def spawn(operation_id: str) -> None:
    engine.perform(operation_id, spawning.PLAN)


def pause(operation_id: str) -> None:
    engine.perform(operation_id, pausing.PAUSE)


def resume(operation_id: str) -> None:
    engine.perform(operation_id, pausing.RESUME)


def message(operation_id: str) -> None:
    engine.perform(operation_id, telling.PLAN)


def rollback(operation_id: str) -> None:
    engine.perform(operation_id, going_back.PLAN)


def restore_file(operation_id: str) -> None:
    engine.perform(operation_id, restoring.PLAN)


def cancel(operation_id: str) -> None:
    engine.perform(operation_id, ending.CANCEL)


def terminate_soon(operation_id: str) -> None:
    engine.perform(operation_id, ending.SOON)


def terminate(operation_id: str) -> None:
    engine.perform(operation_id, ending.PLAN)


def verify(operation_id: str) -> None:
    engine.perform(operation_id, verifying.PLAN)


def survey(operation_id: str) -> None:
    engine.perform(operation_id, surveying.PLAN)


def export(operation_id: str) -> None:
    engine.perform(operation_id, exporting.PLAN)


def apply_retention(project_id: str) -> None:
    for project in Project.objects.filter(pk=project_id):
        pruning.apply(project)


def enter_storage(project_id: str) -> None:
    for project in Project.objects.filter(pk=project_id):
        accounting.reckon(project)
        storage.enter(project)
