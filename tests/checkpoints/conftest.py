"""A project that has money, so that machines can be spawned in it; and one that keeps few checkpoints."""

import pytest

from budgets import actions as budgets
from checkpoints.models import Checkpoint, Rules
from machines.models import Machine
from machines.states import State
from projects.models import Project, User
from tests.checkpoints.kept import LAST, machine_of


@pytest.fixture
def funded(project: Project, alice: User) -> Project:
    budgets.set_limit(project, resource="money", limit=10_000_000, by=alice)
    return project


@pytest.fixture
def frugal(funded: Project) -> Project:
    """It keeps the last checkpoint of each machine, and what is needed."""
    Rules.objects.create(project=funded, retention=LAST)
    return funded


@pytest.fixture
def machine(frugal: Project, genesis: Checkpoint, alice: User) -> Machine:
    """A running one, as if it had been spawned."""
    return machine_of(frugal, genesis, alice, State.RUNNING)
