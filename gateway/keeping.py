"""The checkpoints of one call: the one due with its request, and those that its answer calls for.

The agent is made to wait for them, before the first byte of the answer, or before it hears of a tool that may do harm.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar
from uuid import UUID

from checkpoints.triggers import effects, reach, risks
from checkpoints.triggers.effects import Seen
from checkpoints.triggers.policy import Policy
from events import actions as events
from gateway import calls, database, holding, redaction, tools
from gateway.admitted import Admission, Caller, machine_of
from gateway.dialects.tools import ToolCall
from gateway.models import Call
from machines import actions as machines
from machines import types
from machines.keeping import policies
from machines.models import Machine

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

SAID_CHARACTERS_MAX = 120


def due_with_request(admission: Admission) -> bool:
    """Whether the database has to be asked if a checkpoint is due, before the request is sent on."""
    policy = policy_of(admission.machine)
    return policy is None or (policy.overlaps and _may_be_due(policy, admission))


def policy_of(caller: Caller) -> Policy | None:
    """The machine's policy. Of a type that is gone nobody knows: let it be tried, and be seen to fail."""
    try:
        return policies.effective(caller.type, caller.departures)
    except types.UnknownType:
        return None


def _may_be_due(policy: Policy, admission: Admission) -> bool:
    if policy.calls or policy.minutes or policy.percent:
        return True
    return policy.after_files and bool(tools.wrote(admission.executed))


def take(admission: Admission) -> UUID | None:
    """Have the checkpoint taken that is due with this call, if one is; returns its id."""
    wrote = _said(tools.wrote(admission.executed))
    call = (admission.number, admission.call_id)
    return _taken(admission, lambda machine: machines.checkpoint_before_call(machine, *call, wrote=wrote))


def _take_before_tool(admission: Admission, why: str) -> UUID | None:
    call = (admission.number, admission.call_id)
    return _taken(admission, lambda machine: machines.checkpoint_before_tool(machine, *call, why=why))


def _taken(admission: Admission, ask: Callable[[Machine], UUID | None]) -> UUID | None:
    """That a checkpoint cannot be had is no reason to stop the agent, but must be seen."""
    caller = admission.machine
    try:
        checkpoint_id = ask(machine_of(caller))
    except Exception:
        logger.exception("No checkpoint at call %s of machine %s", admission.number, caller.handle)
        events.record(
            "checkpoint.missed", subject=caller.subject, project_id=caller.project_id, call=admission.number
        )
        return None
    if checkpoint_id:
        Call.objects.filter(pk=admission.call_id).update(checkpoint_id=checkpoint_id)
    return checkpoint_id


class Keeper:
    """What one exchange asks. `stalled_ms`: how long the agent was made to wait, all in all."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._policy = policy_of(admission.machine) if admission.request.converses else None
        self._checkpoint_id = admission.checkpoint_id
        # Asked for already; it is taken while the model thinks.
        self._captured = _begun(holding.until_settled, self._checkpoint_id)
        self._noted = _begun(_note, admission) if admission.executed else None
        self._warned = self._ended = False
        self.stalled_ms = 0

    async def finish(self) -> None:
        """The exchange is over, one way or the other."""
        if self._captured:
            self._captured.cancel()
        if self._noted:
            await asyncio.wait({self._noted})

    async def before_answer(self) -> None:
        """Keep the answer back until the checkpoint is taken. What arrives meanwhile waits in the socket."""
        if self._captured:
            await self._hold(self._captured)

    async def before_tools(self, called: Iterable[ToolCall]) -> None:
        """Keep back what tells the agent of a tool that may do harm, until there is a checkpoint of this call."""
        if self._warned or self._policy is None or not self._policy.before:
            return
        for call in called:
            command = tools.command_of(call)
            if risks.found(command, self._policy.before):
                self._warned = True
                await self._before(_said(command))
                return

    async def before_end(self) -> None:
        """Where checkpoints are taken after the response: keep back its end until the one that is due is taken."""
        if self._ended:
            return
        self._ended = True
        policy, admission = self._policy, self._admission
        if policy and not policy.overlaps and not self._checkpoint_id and _may_be_due(policy, admission):
            await self._wait_for(await database.run(take, admission))
            await database.run(calls.stalled, admission.call_id, self.stalled_ms)

    async def _before(self, command: str) -> None:
        why = f"Before {command}"
        if known := self._checkpoint_id:
            await self._wait_for(known)  # it may have been late for the answer's first byte
            there: bool = await database.run(machines.taken_before_tool, known, why=why)
            if there:
                return
        await self._wait_for(await database.run(_take_before_tool, self._admission, why))

    async def _wait_for(self, checkpoint_id: UUID | None) -> None:
        self._checkpoint_id = checkpoint_id
        if waiting := _begun(holding.until_settled, checkpoint_id):
            await self._hold(waiting)

    async def _hold(self, captured: "asyncio.Task[bool]") -> None:
        since = time.monotonic()
        try:
            if not await captured and self._checkpoint_id:
                waited = time.monotonic() - since
                await database.run(calls.checkpoint_was_late, self._admission, self._checkpoint_id, waited)
        finally:
            captured.cancel()
            self.stalled_ms += round((time.monotonic() - since) * 1000)


def _begun(work: Callable[[T], Coroutine[Any, Any, R]], about: T | None) -> "asyncio.Task[R] | None":
    return None if about is None else asyncio.create_task(work(about))


def _said(command: str) -> str:
    """A command for people to read: on one line, without what looks like a secret."""
    return redaction.text(" ".join(command[: 10 * SAID_CHARACTERS_MAX].split()))[:SAID_CHARACTERS_MAX]


async def _note(admission: Admission) -> None:
    """Write down what the tools reached outside the guest. It is said again with the next call, and counted once."""
    try:
        if seen := [one for call in admission.executed for one in _effects(call)]:
            caller = admission.machine
            await database.run(effects.record, caller.project_id, caller.subject, admission.number, seen)
    except Exception:
        logger.exception("Effects of machine %s could not be noted.", admission.machine.handle)


def _effects(call: ToolCall) -> Iterator[Seen]:
    for number, (kind, said) in enumerate(reach.effects_of(call.name, tools.command_of(call))):
        failed = " (ended with an error)" if call.failed else ""
        yield Seen(f"{call.id}#{number}" if number else call.id, kind, redaction.text(said) + failed)
