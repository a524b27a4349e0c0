"""A project with money, and machines in any state."""

from collections.abc import Callable

import pytest

from budgets import actions as budgets
from checkpoints.models import Checkpoint
from machines import actions
from machines.models import Machine
from machines.states import State
from projects.models import Project, User


@pytest.fixture
def funded(project: Project, alice: User) -> Project:
    budgets.set_limit(project, resource="money", limit=10_000_000, by=alice)
    return project


@pytest.fixture
def spawn(funded: Project, genesis: Checkpoint, alice: User) -> Callable[..., Machine]:
    def spawn(**more: object) -> Machine:
        asked = {"source": genesis, "type_name": "vibe", "prompt": "Write fizzbuzz", **more}
        return actions.spawn(project=funded, by=alice, **asked)  # type: ignore[arg-type]

    return spawn


@pytest.fixture
def machine(spawn: Callable[..., Machine]) -> Machine:
    """A running one, as if its guest were up."""
    machine = spawn()
    for state in (State.CLONING, State.PROVISIONING, State.RUNNING):
        machine.move(state)
    return machine
