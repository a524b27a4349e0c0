"""Waiting for money that others hold: turns, and agents that hang up at the wrong moment."""

import asyncio

import pytest

from gateway import waiting


async def begun() -> "asyncio.Task[None]":
    task = asyncio.create_task(waiting.a_moment())
    await asyncio.sleep(0)
    return task


async def test_who_waits_longest_goes_first() -> None:
    first, second = await begun(), await begun()
    waiting.one_has_ended()
    await first
    assert not second.done()
    waiting.one_has_ended()
    await second


async def test_an_agent_that_hangs_up_when_its_turn_comes_is_gone() -> None:
    task = await begun()
    waiting.one_has_ended()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
