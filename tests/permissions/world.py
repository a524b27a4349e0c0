"""Two projects with one of everything that a route can be asked for, and the names under which routes ask for it."""

from dataclasses import dataclass
from uuid import uuid4

from budgets.models import Budget, BudgetRequest, Pool, Transfer
from checkpoints import actions as checkpoints
from dashboard import screens
from dashboard.screens import Wanted
from gateway.models import Call
from guests.models import Guest
from machines.models import Machine
from operations.models import Operation, Status
from projects import actions as projects
from projects import invitations
from projects.models import ApiToken, Project, User
from projects.roles import Role
from tests.dashboard import rows


@dataclass
class World:
    """`ids` fills the placeholders of paths."""

    project: Project
    machine: Machine
    ids: dict[str, str]


def build(project: Project, template: Guest, owner: User) -> World:
    """The project's machine, with checkpoints, a call, limits, a request, a transfer and an operation."""
    genesis = checkpoints.genesis(project, template)
    rows.budget(project)
    machine = rows.machine(project, genesis, created_by=owner)
    first = rows.checkpoint(machine, {})
    rows.call(machine)
    last = rows.checkpoint(machine, {"hello.py": "print('hello')\n"})
    rows.log(machine, "hello")
    budget = Budget.objects.get(project=project, resource="money")
    other = projects.create(slug=f"beside-{project.slug}", by=owner)
    rows.budget(other)
    return World(
        project,
        machine,
        {
            "slug": project.slug,
            "project_id": str(project.id),
            "machine": machine.handle,
            "checkpoint": last.handle,
            "first": first.handle,
            "operation": str(_waiting(machine).id),
            "call": str(Call.objects.get(machine=machine).number),
            "budget": str(budget.pk),
            "request": str(BudgetRequest.objects.create(project=project, budget=budget, amount=1).pk),
            "transfer": str(_transfer(other, project).pk),
            "pool": _pool(project),
            "invitation": str(invitations.create(project, Role.VIEWER, by=owner)[0].pk),
            "screen": str(_screen(project, owner)),
            "token": str(ApiToken.mint(owner, "to be rotated")[0].pk),
            "nobody": str(uuid4()),
        },
    )


def _transfer(giver: Project, taker: Project) -> Transfer:
    return Transfer.objects.create(giver=giver, taker=taker, resource="money", amount=1, proposed_for=giver)


def _pool(project: Project) -> str:
    pool = Pool.objects.create(name=f"pool-{project.slug}", amount=1)
    return pool.name


def _waiting(machine: Machine) -> Operation:
    """It waits for an operator."""
    return Operation.objects.create(
        verb="pause",
        subject=machine.subject,
        project=machine.project,
        lock=machine.guest.subject,
        task="machines.tasks.pause",
        status=Status.NEEDS_OPERATOR,
        error="The node is away.",
    )


def _screen(project: Project, owner: User) -> int:
    wanted = Wanted(name="Lobby", views=[["counts"]], every_project=False, projects=[project])
    return int(screens.make(wanted, by=owner)[0].pk)
