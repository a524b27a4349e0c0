"""Giving up a snapshot that Proxmox says is damaged or gone, and with it whatever cannot be returned to any more."""

from checkpoints.models import Checkpoint
from checkpoints.telling import fail
from checkpoints.trust import proofs


def give_up(checkpoint: Checkpoint, sentence: str) -> None:
    """All that live in its snapshot are broken, but those that a backup holds, too, and where projects begin.

    A template is looked after by an operator: without it the project could make no machine at all.
    """
    for one in proofs.kin(checkpoint).exclude(kind=Checkpoint.Kind.GENESIS):
        if one.holder.backup:
            Checkpoint.objects.filter(pk=one.pk).update(error=f"Its backup is left. {sentence}")
        else:
            fail(one, sentence)
