"""New machines: what they will cost, spawn, branch."""

from typing import Annotated, Any

from pydantic import Field

from mcp_server import api
from mcp_server.api import Caller
from mcp_server.shapes import Expectation, MachineDetail, units
from mcp_server.tools.parameters import CheckpointName, Key, Options, ProjectName, Start

TypeName = Annotated[str, Field(description="See list_machine_types.")]


async def predict(
    project: ProjectName, type: TypeName, prompt: str, ctx: Caller, model: str = ""
) -> Expectation:
    """What a machine with this prompt will probably cost and take, from past ones with like prompts."""
    body = {"project": project, "type": type, "prompt": prompt, "model": model}
    answer = await api.of(ctx).post("machines", "predict", body=body)
    suggested = answer["suggested_micros"]
    ranges = {
        name.replace("cost_micros", "cost"): _in_units(name, found)
        for name, found in answer["ranges"].items()
    }
    return Expectation.of(
        answer | {"ranges": ranges, "suggested_limit": None if suggested is None else units(suggested)}
    )


async def spawn(
    project: ProjectName,
    type: TypeName,
    prompt: Annotated[str, Field(description="What its agent is to do.")],
    ctx: Caller,
    checkpoint: Annotated[
        str | None, Field(description="Start from that state; else from the project's beginning.")
    ] = None,
    options: Options = Start(),  # noqa: B008 - never changed
    key: Key = None,
) -> MachineDetail:
    """Run an agent on a prompt in a new machine. It answers at once; `wait` for the machine to see what becomes of it.

    Its project pays. Ask `budget_left` and `predict` first when that matters.
    """
    body = {**options.asked(), "project": project, "type": type, "prompt": prompt}
    if checkpoint:
        body["checkpoint"] = checkpoint
    return MachineDetail.of(await api.of(ctx).post("machines", body=body, key=key))


async def branch(
    checkpoint: CheckpointName,
    ctx: Caller,
    prompt: Annotated[
        str, Field(description="What its agent is to do now; without one it goes on with what it was doing.")
    ] = "",
    type: Annotated[str | None, Field(description="Another type of agent than before.")] = None,
    options: Options = Start(),  # noqa: B008 - never changed
    key: Key = None,
) -> MachineDetail:
    """A new machine that goes on from a checkpoint: its files and its conversation are exactly those of then."""
    body = {**options.asked(), "prompt": prompt, **({"type": type} if type else {})}
    return MachineDetail.of(await api.of(ctx).post("checkpoints", checkpoint, "branch", body=body, key=key))


def _in_units(name: str, found: dict[str, Any]) -> dict[str, Any]:
    return {part: units(value) for part, value in found.items()} if name == "cost_micros" else found
