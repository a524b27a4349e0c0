"""What agents ask for that costs nothing: which models there are, and how many tokens a request has.

Where no upstream may be asked the offline model speaks for itself.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from gateway.dialects.whole import an_object
from gateway.errors import Refused
from gateway.http import Answer, Scope, target
from gateway.offline import MODEL
from gateway.upstreams import catalog, choice, registry, transport
from gateway.upstreams.failover import Attempts, Outgoing
from gateway.upstreams.health import Bucket

# No budget limits these, and the provider's limit on them is one for all machines.
PER_MINUTE = 60
_REMEMBERED = 4096

_OFFLINE = {
    "id": MODEL,
    "type": "model",
    "object": "model",
    "display_name": "autovibe's offline model",
    "created": 0,
    "created_at": "1970-01-01T00:00:00Z",
    "owned_by": "autovibe",
}


_buckets: OrderedDict[str, Bucket] = OrderedDict()  # by machine


@dataclass(frozen=True, slots=True)
class Asker:
    """The machine that asks. `alone`: it replays a record, and no upstream may be asked for it."""

    machine: str
    project: str
    alone: bool

    @property
    def is_offline(self) -> bool:
        return self.alone or registry.offline()


async def count_tokens(scope: Scope, body: bytes, answer: Answer, asker: Asker) -> None:
    """https://docs.claude.com/en/api/messages-count-tokens; the offline model's estimate is a rough one."""
    if asker.is_offline:
        await answer.json(200, {"input_tokens": len(body) // 4 + 1})
    else:
        await _pass("messages", str(an_object(body).get("model")), scope, body, answer, asker)


async def models(scope: Scope, body: bytes, answer: Answer, asker: Asker, dialect: str) -> None:
    """Of all upstreams together, as an agent may not know that there are several."""
    if asker.is_offline:
        await answer.json(200, _list([_OFFLINE]))
        return
    try:
        await answer.json(200, _list(await catalog.models(dialect)))
    except (catalog.NothingListed, transport.NotSent, transport.BrokenOff) as error:
        raise Refused(502, str(error)) from error


async def model(scope: Scope, body: bytes, answer: Answer, asker: Asker, dialect: str) -> None:
    """One model, as the upstream that serves it describes it."""
    if asker.is_offline:
        await answer.json(200, _OFFLINE)
    else:
        await _pass(dialect, scope["path"].removeprefix("/v1/models/"), scope, body, answer, asker)


def _list(entries: list[dict[str, Any]]) -> dict[str, object]:
    """In the shape of both providers at once: neither client minds the other's fields."""
    ids = [entry.get("id") for entry in entries]
    ends = {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
    return {"object": "list", "data": entries, "has_more": False, **ends}


def _limit(machine: str) -> None:
    """Raises `Refused` (429) when the machine has asked too often."""
    bucket = _buckets.setdefault(machine, Bucket(PER_MINUTE))
    _buckets.move_to_end(machine)
    if len(_buckets) > _REMEMBERED:
        _buckets.popitem(last=False)
    if wait := bucket.seconds_until(1):
        raise Refused(
            429, f"This machine has asked {PER_MINUTE} times in a minute.", retry_after_seconds=int(wait) + 1
        )
    bucket.take(1)


async def _pass(dialect: str, model: str, scope: Scope, body: bytes, answer: Answer, asker: Asker) -> None:
    """Forward it, to whoever answers."""
    _limit(asker.machine)
    outgoing = Outgoing(
        dialect,
        model,
        target(scope),
        scope["headers"],
        body,
        method=scope["method"],
        metered=False,
        whose=asker.project,
    )
    try:
        async with Attempts(outgoing, choice.known_offers(dialect, model)).answer() as response:
            await answer.begin(response.status, response.headers)
            async for chunk in response.chunks:
                await answer.write(chunk)
            await answer.end()
    except (transport.NotSent, transport.BrokenOff) as error:
        if answer.begun:
            return
        raise Refused(502, str(error)) from error
