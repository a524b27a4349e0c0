"""What a budget limits, in which unit, for whom, and over which period. Plain data; nothing here is stored."""

from dataclasses import dataclass
from uuid import UUID

from django.db import models

from budgets import money


class Resource(models.TextChoices):
    """What is limited, and the whole number it is counted in."""

    MONEY = "money"  # micro-units of the currency
    TOKENS = "tokens"  # read and written, cached ones included
    INPUT_TOKENS = "input_tokens"  # read for the first time, or written to the cache
    CACHED_TOKENS = "cached_tokens"  # read from the cache
    OUTPUT_TOKENS = "output_tokens"
    CALLS = "calls"  # model calls
    WALL = "wall_seconds", "wall time"  # a machine's agent at work
    CPU = "cpu_seconds", "CPU time"
    MEMORY = "memory_mb_seconds", "memory"  # a million bytes for a second; a GB-hour is 3,600,000
    STORAGE = "storage_mb_seconds", "storage"
    NETWORK = "network_bytes", "network"  # both ways


# What model calls use up; the rest is used by machines that are on.
CALLS = frozenset({"money", "tokens", "input_tokens", "cached_tokens", "output_tokens", "calls"})
COMPUTE = frozenset(Resource.values) - CALLS

GB_HOUR = 3_600_000  # in megabyte-seconds
# How many of what is counted make one of what people say; of all others, one.
_UNITS: dict[str, int] = {
    Resource.MONEY: money.MICROS,
    Resource.MEMORY: GB_HOUR,
    Resource.STORAGE: GB_HOUR,
    Resource.NETWORK: 10**9,
}


def unit_of(resource: str) -> int:
    """How much of it, as it is counted, people call one: a unit of the currency, a GB-hour, a GB; or just one."""
    return _UNITS.get(resource, 1)


class Period(models.TextChoices):
    """How long a limit holds before it begins anew."""

    TOTAL = "total"  # for good
    MINUTE = "minute"  # a rate: what does not fit has to wait, and nobody is paused
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"  # from Monday
    MONTH = "month"


SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Payer:
    """On whose account something is used: every budget of every one of them has to have room for it."""

    project_id: UUID
    machine_id: UUID | None = None
    member_id: int | None = None
    hub: str = ""

    @property
    def holders(self) -> list[str]:
        held = [SYSTEM, of_project(self.project_id)]
        if self.machine_id:
            held.append(of_machine(self.machine_id))
        if self.member_id:
            held.append(of_member(self.project_id, self.member_id))
        if self.hub:
            held.append(of_hub(self.hub))
        return held


def of_project(project_id: UUID) -> str:
    return f"project:{project_id}"


def of_member(project_id: UUID, user_id: int) -> str:
    """What one person's machines may use in one project."""
    return f"member:{project_id}:{user_id}"


def of_machine(machine_id: UUID) -> str:
    return f"machine:{machine_id}"


def of_hub(name: str) -> str:
    """What all projects of one hub may use together."""
    return f"hub:{name}"


def funds(holder: str) -> bool:
    """Whether a limit of money gives its holder money to spend. The system's and a hub's are ceilings for all alone.

    `budgets_reserve` says the same.
    """
    return holder.startswith(("project:", "member:", "machine:"))


# In millionths of the resource's unit: what is used whatever happens, and what each further unit uses.
Need = tuple[int, int]
Needs = dict[str, Need]
WHOLE = 1_000_000


def amount_of(need: Need, units: int) -> int:
    """What `units` come to, rounded up. The SQL functions reckon the same."""
    fixed, rate = need
    return -(-(fixed + units * rate) // WHOLE)
