"""A guest's life as a table. Power is not part of it: that is observed, not decided."""

from django.db import models


class State(models.TextChoices):
    ALLOCATED = "allocated"  # it has a VMID; Proxmox may or may not know it yet
    PRESENT = "present"
    CONDEMNED = "condemned"  # nothing needs it any more; to be destroyed
    GONE = "gone"


MOVES: dict[State, frozenset[State]] = {
    State.ALLOCATED: frozenset({State.PRESENT, State.CONDEMNED}),
    State.PRESENT: frozenset({State.CONDEMNED}),
    State.CONDEMNED: frozenset({State.GONE}),
    State.GONE: frozenset({State.CONDEMNED}),  # it was found to be there again
}
EXISTING = frozenset({State.ALLOCATED, State.PRESENT, State.CONDEMNED})
