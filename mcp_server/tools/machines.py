"""Machines that are there: list, show, wait, read their logs, and act on them."""

import asyncio
from contextlib import suppress
from typing import Annotated, Any

from pydantic import Field

from mcp_server import api
from mcp_server.api import Api, Caller, Refused
from mcp_server.shapes import RESTS, Log, Machine, MachineDetail, Machines, Message, Operation, Waited
from mcp_server.tools.parameters import After, CheckpointName, MachineName

LINES_MAX = 500
TAIL = 20
WAIT_SECONDS_MAX = 3600
# Looked often while something happens, seldom while nothing does.
PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX, PAUSE_GROWTH = 0.5, 5.0, 1.3

Limit = Annotated[int, Field(ge=1, le=200)]


async def list_machines(
    ctx: Caller,
    project: Annotated[str | None, Field(description="Only of this project.")] = None,
    state: Annotated[str | None, Field(description="Only in these states, comma-separated.")] = None,
    type: Annotated[str | None, Field(description="Only of this type.")] = None,
    limit: Limit = 20,
) -> Machines:
    """Machines that you may see, newest first."""
    page = await api.of(ctx).get("machines", project=project, state=state, type=type, page_size=limit)
    return Machines(machines=[Machine.of(one) for one in page["results"]], more=bool(page["next"]))


async def show_machine(machine: MachineName, ctx: Caller) -> MachineDetail:
    """Everything about one machine: its state and why, what may be asked of it, what it spent, what is under way."""
    return MachineDetail.of(await api.of(ctx).get("machines", machine))


async def read_log(
    machine: MachineName,
    ctx: Caller,
    after: After = 0,
    limit: Annotated[int, Field(ge=1, le=LINES_MAX)] = 100,
) -> Log:
    """What a machine's agent printed: the last lines, or, with `after`, those that follow it."""
    more = {"after": after} if after else {"tail": 1}
    page = await api.of(ctx).get("machines", machine, "log", limit=limit, **more)
    return Log.of(page | {"after": _last(page, after)})


async def wait(
    machine: MachineName,
    ctx: Caller,
    seconds: Annotated[int, Field(ge=1, le=WAIT_SECONDS_MAX, description="At most so long.")] = 300,
    after: After = 0,
) -> Waited:
    """Wait until a machine has ended or is paused, or until the time is over; its state says which.

    What it prints meanwhile is told as progress. Wait again while `rests` is false.
    """
    asked = api.of(ctx)
    waiting = _Waiting(asked, ctx, machine, after)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await waiting.until_it_rests()
    shown = Machine.of(await asked.get("machines", machine))
    return Waited.of({"machine": shown, "log": waiting.lines[-TAIL:], "after": waiting.after})


async def message(
    machine: MachineName,
    text: Annotated[str, Field(description="What to tell it.")],
    ctx: Caller,
    now: Annotated[
        bool, Field(description="Interrupt its turn, after a checkpoint; else it hears it next.")
    ] = False,
) -> Message:
    """Say something to a machine's agent."""
    return Message.of(await api.of(ctx).post("machines", machine, "message", body={"text": text, "now": now}))


async def pause(machine: MachineName, ctx: Caller) -> Operation:
    """Freeze a machine in memory until somebody resumes it."""
    return await _do(ctx, machine, "pause")


async def resume(machine: MachineName, ctx: Caller) -> Operation:
    """Let a paused machine go on where it was."""
    return await _do(ctx, machine, "resume")


async def terminate(machine: MachineName, ctx: Caller) -> Operation:
    """End a machine, after a last checkpoint, which can be branched from."""
    return await _do(ctx, machine, "terminate")


async def rollback(machine: MachineName, checkpoint: CheckpointName, ctx: Caller) -> Operation:
    """Put a machine back to one of its own checkpoints and let it go on from there; its present is kept first."""
    return await _do(ctx, machine, "rollback", {"checkpoint": checkpoint})


async def _do(ctx: Caller, machine: str, verb: str, body: dict[str, Any] | None = None) -> Operation:
    return Operation.of(await api.of(ctx).post("machines", machine, verb, body=body))


class _Waiting:
    """What was heard of a machine so far."""

    def __init__(self, asked: Api, ctx: Caller, machine: str, after: int) -> None:
        self._api, self._ctx, self._machine = asked, ctx, machine
        self._state = ""
        self._told = 0
        self.after = after
        self.lines: list[dict[str, Any]] = []

    async def until_it_rests(self) -> None:
        pause = PAUSE_SECONDS_MIN
        while True:
            page = await self._page()
            news = bool(page["lines"]) or page["state"] != self._state
            if news:
                await self._tell(page)
            if page["state"] in RESTS and not page["lines"]:
                return
            pause = PAUSE_SECONDS_MIN if news else min(pause * PAUSE_GROWTH, PAUSE_SECONDS_MAX)
            await asyncio.sleep(0 if page["lines"] else pause)

    async def _page(self) -> dict[str, Any]:
        """What is new. Called too often, it waits as long as it is told to: others wait with the same token."""
        while True:
            try:
                query = {"after": self.after, "limit": LINES_MAX}
                return dict(await self._api.get("machines", self._machine, "log", **query))
            except Refused as refused:
                if refused.retry_after is None:
                    raise
                await asyncio.sleep(refused.retry_after)

    async def _tell(self, page: dict[str, Any]) -> None:
        self._state, self.after = page["state"], _last(page, self.after)
        self.lines = [*self.lines, *page["lines"]][-TAIL:]
        self._told += 1
        said = f": {page['lines'][-1]['text']}" if page["lines"] else ""
        await self._ctx.report_progress(self._told, message=f"{self._machine} is {self._state}{said}")


def _last(page: dict[str, Any], before: int) -> int:
    return int(page["lines"][-1]["id"]) if page["lines"] else before
