"""A call that was let in, and whose it is: what all that happens to it afterwards goes by."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from budgets.prices import Price
from gateway.dialects.base import Request
from gateway.dialects.tools import ToolCall
from gateway.upstreams import Offers
from machines.models import Machine


@dataclass(frozen=True, slots=True)
class Caller:
    """The machine that calls, as far as a call needs to know it."""

    id: UUID
    number: int
    type: str
    state: str
    continues: bool
    project_id: UUID
    replays_id: UUID | None
    run: UUID | None
    departures: Mapping[str, object]  # from its type's policy of checkpoints

    @property
    def handle(self) -> str:
        return f"m{self.number}"

    @property
    def subject(self) -> str:
        return f"machine:{self.id}"


@dataclass(frozen=True, slots=True)
class Admission:
    """A call that may be made: what it may write, who may answer it, and what to wait for before that."""

    request: Request
    machine: Caller
    session: str  # of one agent's calls: its token's digest
    number: int
    call_id: UUID
    reservation_id: UUID
    price: Price
    offers: Offers
    output_tokens: int
    landing: bool  # the last of the budget has been broken into; the agent is to be told
    executed: list[ToolCall]  # by the agent, since the call before
    checkpoint_id: UUID | None
    started_at: datetime


def machine_of(caller: Caller) -> Machine:
    """Its row, with what it belongs to."""
    return Machine.objects.select_related("project", "guest", "present", "source").get(pk=caller.id)
