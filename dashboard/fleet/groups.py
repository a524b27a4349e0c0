"""States that a person looks for together, and the tiles that count them."""

from collections.abc import Mapping
from dataclasses import dataclass

from machines.states import SPAWNING, State


@dataclass(frozen=True)
class Group:
    """Every state is in one."""

    name: str
    tone: str
    icon: str
    states: frozenset[State]

    @property
    def key(self) -> str:
        return self.name.lower()

    def count(self, counts: Mapping[str, int]) -> int:
        """How many, of the numbers by state."""
        return sum(counts.get(state, 0) for state in self.states)


GROUPS = (
    Group("Running", "ok", "play", frozenset({State.RUNNING})),
    Group("Starting", "info", "turn", SPAWNING | {State.RESUMING, State.RESTORING}),
    Group("Paused", "warn", "pause", frozenset({State.PAUSING, State.PAUSED})),
    Group("Failed", "bad", "cross", frozenset({State.FAILED})),
    Group("Ended", "neutral", "stop", frozenset({State.STOPPING, State.TERMINATED})),
)
# What a filter may name: a group, or one state by itself.
STATES: dict[str, frozenset[State]] = {state.value: frozenset({state}) for state in State} | {
    group.key: group.states for group in GROUPS
}


@dataclass(frozen=True)
class Tile:
    """A count that leads to the list of what it counts."""

    group: Group
    count: int
    chosen: bool
    address: str
