"""The cheapest proof, of many checkpoints at once: rows, snapshots and lists of files of one guest agree."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Exists, OuterRef

from checkpoints.contents.integrity import Books
from checkpoints.models import Checkpoint, Verification
from checkpoints.states import Depth, State
from checkpoints.trust import proofs
from checkpoints.trust.proofs import Fault
from machines.work import snapshots
from operations.engine import Outcome, Plan, Step
from operations.models import Operation
from projects.errors import Conflict
from proxmox import errors


@dataclass
class Survey:
    """The context of the plan."""

    checkpoints: Iterable[Checkpoint]


def load(operation: Operation) -> Survey:
    """The context as the database has it now, without what an earlier worker has told already."""
    found = Checkpoint.objects.filter(pk__in=operation.arguments["checkpoints"], state=State.CAPTURED)
    told = Verification.objects.filter(checkpoint=OuterRef("pk"), asked_at__gt=operation.created_at)
    related = ("guest", "project", "manifest", "shares__manifest", "shares__guest")
    return Survey(found.filter(~Exists(told)).select_related(*related))


def _look(survey: Survey) -> Outcome:
    books = Books()
    for checkpoint in survey.checkpoints:
        try:
            _tell(checkpoint, _fault(checkpoint, books))
        except errors.ProxmoxError as error:
            _tell_undecided(checkpoint, str(error))
    return None


def _fault(checkpoint: Checkpoint, books: Books) -> Fault | None:
    if sentence := proofs.fault_in_rows(checkpoint, books):
        return Fault(sentence, shared=False)
    sentence = snapshots.fault_in(checkpoint)
    return Fault(sentence, shared=True) if sentence else None


@transaction.atomic
def _tell(checkpoint: Checkpoint, fault: Fault | None) -> None:
    with suppress(Conflict):  # somebody is having it proven just now
        verification = _request(checkpoint)
        if fault:
            proofs.failed(verification, fault)
        else:
            proofs.passed(verification, sentence=proofs.AGREE)


@transaction.atomic
def _tell_undecided(checkpoint: Checkpoint, sentence: str) -> None:
    with suppress(Conflict):
        proofs.abandoned(_request(checkpoint), sentence)


def _request(checkpoint: Checkpoint) -> Verification:
    evidence = {"of": "snapshot", "rows": {}}
    return proofs.request(checkpoint, Depth.METADATA, by=None, scratch=None, evidence=evidence)


PLAN: Plan[Survey] = Plan(
    load=load,
    steps=(Step("look", "Reading what is said of them", _look),),
    succeed=lambda survey: None,
    fail=lambda survey, sentence: None,
)
