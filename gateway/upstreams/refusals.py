"""Keys that upstreams refuse: looked into, put aside for a while, and told to the operator."""

import asyncio
import logging
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from events import actions as events
from gateway import database
from gateway.models import UpstreamKey
from gateway.upstreams import health, transport
from gateway.upstreams.registry import Target

logger = logging.getLogger(__name__)

_SENTENCES = {
    401: "The model provider refuses the gateway's key.",
    402: "The model provider's account that the gateway's key belongs to has no credit left, or too little for this.",
    403: "The model provider does not let the gateway's key do this.",
}
_looking: dict[str, asyncio.Task[None]] = {}  # by the target's identity


def sentence(target: Target, status: int) -> str:
    """For the agent's log, where its owner will read it."""
    return f"{_SENTENCES[status]} An operator should check {target.key_name}."


def look_into(target: Target, status: int, whose: str) -> None:
    """Find out, beside the call, whether it is the key: it is no use to others then.

    402 cannot be found out for nothing: some answer it where one call asks for more than the credit that is left. So
    the project that was told so believes it, and everybody once a second one was.
    """
    for_all = health.no_credit(target, whose) if status == 402 else None
    if target.identity not in _looking:
        task = asyncio.create_task(_look_into(target, status, for_all))
        _looking[target.identity] = task
        task.add_done_callback(lambda _: _looking.pop(target.identity, None))


async def stop() -> None:
    """Look no further: the server stops."""
    looking = list(_looking.values())
    for task in looking:
        task.cancel()
    await asyncio.gather(*looking, return_exceptions=True)


async def _look_into(target: Target, status: int, for_all: bool | None) -> None:
    try:
        if for_all is None and not await _is_refused(target):
            return
        if for_all is not False:
            health.put_aside(target)
            await database.run(_put_aside, target)
        await database.run(_tell, target, status)
    except Exception:
        logger.exception("Whether %s is refused could not be found out", target.key_name)


async def _is_refused(target: Target) -> bool:
    """Ask for something that costs nothing, and that no guest had a say in.

    What a guest sends can be refused although the key is good: with it, one of them could silence all others.
    """
    dialect = "messages" if "messages" in target.dialects else "chat"
    headers = [(b"anthropic-version", b"2023-06-01")]
    try:
        async with transport.ask(target, "GET", "/v1/models", dialect=dialect, headers=headers) as response:
            return response.status in (401, 403)
    except (transport.NotSent, transport.BrokenOff):
        return False


def _put_aside(target: Target) -> None:
    """Where it has a row, for all processes."""
    until = timezone.now() + timedelta(seconds=health.ASIDE_SECONDS)
    if target.key_id is not None:
        UpstreamKey.objects.filter(pk=target.key_id).update(cooled_until=until)


def _tell(target: Target, status: int) -> None:
    """Once per time, however many processes notice."""
    now = timezone.now()
    said = _SENTENCES[status]
    if target.key_id is not None:
        told = Q(refused_at__gte=now - timedelta(seconds=health.ASIDE_SECONDS))
        if not UpstreamKey.objects.filter(~told, pk=target.key_id).update(refused_at=now, last_error=said):
            return
    logger.error("%s: %s", target.key_name, said)
    events.record(
        "upstream.key_refused",
        subject=f"upstream:{target.name}",
        key=target.label,
        status=status,
        sentence=sentence(target, status),
    )
