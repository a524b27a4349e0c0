"""The cheapest proof, of many checkpoints at once: rows, snapshots and lists of files of one guest agree."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction

from checkpoints import proofs
from checkpoints.integrity import Books
from checkpoints.models import Checkpoint
from checkpoints.proofs import Fault
from checkpoints.states import Depth, State
from machines.work import snapshots
from operations.engine import Outcome, Plan, Step
from operations.models import Operation
from projects.errors import Conflict


@dataclass
class Survey:
    """The context of the plan."""

    checkpoints: Iterable[Checkpoint]


def load(operation: Operation) -> Survey:
    """The context as the database has it now."""
    found = Checkpoint.objects.filter(pk__in=operation.arguments["checkpoints"], state=State.CAPTURED)
    return Survey(found.select_related("guest", "project", "manifest", "shares__manifest", "shares__guest"))


def _look(survey: Survey) -> Outcome:
    """Whoever does it again after a crash appends another row to each; that harms nothing."""
    books = Books()
    for checkpoint in survey.checkpoints:
        sentence, shared = proofs.fault_in_rows(checkpoint, books), False
        if not sentence:
            sentence, shared = snapshots.fault_in(checkpoint), True
        _tell(checkpoint, Fault(sentence, shared=shared))
    return None


@transaction.atomic
def _tell(checkpoint: Checkpoint, fault: Fault) -> None:
    try:
        verification = proofs.request(
            checkpoint, Depth.METADATA, by=None, scratch=None, evidence={"rows": {}}
        )
    except Conflict:  # somebody is having it proven just now
        return
    if fault.sentence:
        proofs.failed(verification, fault)
    else:
        proofs.passed(verification, sentence="Row, snapshot and list of files agree.")


PLAN: Plan[Survey] = Plan(
    load=load,
    steps=(Step("look", "Reading what is said of them", _look),),
    succeed=lambda survey: None,
    fail=lambda survey, sentence: None,
)
