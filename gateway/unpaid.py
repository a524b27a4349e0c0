"""What agents ask for that costs nothing: which models there are, and how many tokens a request has.

`alone`: no upstream may be asked; then the offline model speaks for itself.
"""

from typing import Any

from gateway.dialects.whole import an_object
from gateway.errors import Refused
from gateway.http import Answer, Scope, target
from gateway.offline import MODEL
from gateway.upstreams import catalog, choice, registry, transport
from gateway.upstreams.failover import Attempts, Outgoing

_OFFLINE = {
    "id": MODEL,
    "type": "model",
    "object": "model",
    "display_name": "autovibe's offline model",
    "created": 0,
    "created_at": "1970-01-01T00:00:00Z",
    "owned_by": "autovibe",
}


async def count_tokens(scope: Scope, body: bytes, answer: Answer, *, alone: bool) -> None:
    """https://docs.claude.com/en/api/messages-count-tokens; the offline model's estimate is a rough one."""
    if alone or not registry.targets():
        await answer.json(200, {"input_tokens": len(body) // 4 + 1})
    else:
        await _pass("messages", str(an_object(body).get("model")), scope, body, answer)


async def models(scope: Scope, body: bytes, answer: Answer, dialect: str, *, alone: bool) -> None:
    """Of all upstreams together, as an agent may not know that there are several."""
    if alone or not registry.targets():
        await answer.json(200, _list([_OFFLINE]))
        return
    try:
        await answer.json(200, _list(await catalog.models(dialect)))
    except (catalog.NothingListed, transport.NotSent, transport.BrokenOff) as error:
        raise Refused(502, str(error)) from error


async def model(scope: Scope, body: bytes, answer: Answer, dialect: str, *, alone: bool) -> None:
    """One model, as the upstream that serves it describes it."""
    if alone or not registry.targets():
        await answer.json(200, _OFFLINE)
    else:
        await _pass(dialect, scope["path"].removeprefix("/v1/models/"), scope, body, answer)


def _list(entries: list[dict[str, Any]]) -> dict[str, object]:
    """In the shape of both providers at once: neither client minds the other's fields."""
    ids = [entry.get("id") for entry in entries]
    ends = {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
    return {"object": "list", "data": entries, "has_more": False, **ends}


async def _pass(dialect: str, model: str, scope: Scope, body: bytes, answer: Answer) -> None:
    """Forward it, to whoever answers."""
    outgoing = Outgoing(
        dialect, model, target(scope), scope["headers"], body, method=scope["method"], metered=False
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
