"""Wait for the checkpoint before a call: by the doorbell, and by a look every second should it not ring."""

import asyncio
import contextlib
from uuid import UUID

from channels.layers import get_channel_layer
from django.conf import settings

from checkpoints import actions as checkpoints
from events import actions as events
from gateway import database

LOOK_EVERY_SECONDS = 1.0


async def until_settled(checkpoint_id: UUID) -> bool:
    """Returns True once the checkpoint is captured, or known not to be coming; False when that takes too long.

    What only a person can mend takes too long.
    """
    try:
        async with asyncio.timeout(settings.GATEWAY_CHECKPOINT_HOLD_SECONDS):
            return await _wait(checkpoint_id)
    except TimeoutError:
        return False


async def _wait(checkpoint_id: UUID) -> bool:
    layer = get_channel_layer()
    channel, group = await layer.new_channel(), events.group(f"checkpoint:{checkpoint_id}")
    # Joined before the first look: what rings in between is not lost.
    await layer.group_add(group, channel)
    try:
        while not await database.run(checkpoints.is_settled, checkpoint_id):
            if await database.run(checkpoints.is_stuck, checkpoint_id):
                return False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_SECONDS):
                    await layer.receive(channel)
        return True
    finally:
        await layer.group_discard(group, channel)
