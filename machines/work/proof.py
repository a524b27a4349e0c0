"""What the plan of a proof works on, and how what it finds is kept until the verdict."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from checkpoints.models import Checkpoint, Verification
from checkpoints.states import Verdict
from checkpoints.trust.proofs import BACKUP
from guests.branching import Branching
from guests.models import Guest, Source
from operations.models import Operation
from proxmox.storage_kinds import Branch


@dataclass
class Proof:
    """The context of the plan."""

    operation: Operation
    verification: Verification
    checkpoint: Checkpoint
    guest: Guest | None

    @property
    def scratch(self) -> Guest:
        assert self.guest is not None
        return self.guest

    @property
    def source(self) -> Source:
        """What the scratch guest is made from; nothing else is read of the machine's own guest."""
        source = self.checkpoint.source
        if self.of_backup:
            branching = Branching(Branch.BACKUP, "Restored from its backup.", source.guest.disk_bytes)
            return source._replace(branching=branching)
        return source

    @property
    def of_backup(self) -> bool:
        return bool(self.verification.evidence.get("of") == BACKUP)

    @property
    def has_list(self) -> bool:
        """Whether there is a list of the files in its snapshot."""
        return self.checkpoint.holder.manifest is not None

    @property
    def asked_at(self) -> datetime:
        return self.operation.asked_at or self.operation.created_at

    @property
    def goes_on(self) -> bool:
        """Whether there is more to find out: not once something was found wrong, or that nothing can be found."""
        return not {"fault", "silent", "undecided"} & self.verification.evidence.keys()

    def note(self, **evidence: Any) -> None:
        """Keep what was found for this proof."""
        self.verification.evidence.update(evidence)
        Verification.objects.filter(pk=self.verification.pk, verdict=Verdict.REQUESTED).update(
            evidence=self.verification.evidence
        )

    def fault(self, sentence: str, *, shared: bool) -> None:
        self.note(fault=sentence, shared=shared)


def load(operation: Operation) -> Proof:
    """The context as the database has it now."""
    related = (
        "checkpoint__guest",
        "checkpoint__project",
        "checkpoint__manifest",
        "checkpoint__shares__manifest",
    )
    verification = Verification.objects.select_related("scratch", *related).get(
        pk=operation.arguments["verification"]
    )
    return Proof(operation, verification, verification.checkpoint, verification.scratch)
