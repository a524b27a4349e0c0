"""Let a call in, from the asynchronous side: patient while others hold the money, and safe to be cancelled."""

import asyncio

from gateway import calls, database
from gateway.calls import Admission, Crowded, Outcome
from gateway.models import Call

PATIENCE_SECONDS = 60.0
TRY_EVERY_SECONDS = 0.5


async def admit(token: str, body: bytes) -> Admission:
    """`calls.admit`; while calls under way hold the money, wait for them a little. Raises `Refused`."""
    clock = asyncio.get_running_loop().time
    until = clock() + PATIENCE_SECONDS
    while True:
        try:
            return await _try(token, body)
        except Crowded:
            if clock() > until:
                raise
        await asyncio.sleep(TRY_EVERY_SECONDS)


async def _try(token: str, body: bytes) -> Admission:
    """One attempt. If the agent hangs up meanwhile, a hold that was just placed is given back."""
    attempt = asyncio.ensure_future(database.run(calls.admit, token, body))
    try:
        return await asyncio.shield(attempt)
    except asyncio.CancelledError:
        gone = Outcome(Call.State.RELEASED, error="The agent hung up before the call was made.")
        await database.run(calls.conclude, await attempt, gone)
        raise
