"""Projects and what is left of their budgets, and the types of machines."""

from mcp_server import api
from mcp_server.api import Caller
from mcp_server.shapes import Budget, Limit, MachineType, MachineTypes, Project, Projects
from mcp_server.tools.parameters import ProjectName


async def list_projects(ctx: Caller) -> Projects:
    """The projects that you may see. A machine sees its own."""
    found = await api.of(ctx).get("projects")
    return Projects(projects=[Project.of(one) for one in found["results"]])


async def budget_left(project: ProjectName, ctx: Caller) -> Budget:
    """What may still be used in a project: every limit, what is spent of it, and what is left."""
    answer = await api.of(ctx).get("projects", project, "budgets")
    limits = [Limit.of(one) for one in answer["budgets"]]
    return Budget(project=project, currency=answer["currency"], limits=limits)


async def list_machine_types(ctx: Caller) -> MachineTypes:
    """The types of agent that a machine can run."""
    found = await api.of(ctx).get("machine-types")
    return MachineTypes(types=[MachineType.of(one) for one in found["results"]])
