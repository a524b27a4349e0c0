"""The ASGI application for `/v1/…` (models) and `/guest/v1/…` (guests' reports), beside Django and its middleware."""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from django.conf import settings

from budgets.prices import OFFLINE_MODEL
from gateway import calls, database, http, upstream
from gateway.admission import admit
from gateway.errors import Refused
from gateway.exchange import Exchange
from gateway.http import Answer, Receive, Scope, Send
from machines import reports
from projects.errors import Refusal

logger = logging.getLogger(__name__)

CALL_BYTES_MAX = 32 * 1024**2  # the provider's own limit
OTHER_BYTES_MAX = 1024**2

# Nothing that climbs: behind the provider's other paths lies what our key may see, and a guest may not.
_MODEL = re.compile(r"/v1/models/\w[\w.:-]*")

Handler = Callable[[Scope, bytes, Answer], Awaitable[None]]


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one HTTP request; what the agent may not have is refused in the Messages API's own words."""
    request_id, answer = f"req_{uuid4().hex}", Answer(send)
    try:
        handler, limit = _route(scope["method"], scope["path"])
        body = await http.read_body(receive, limit=limit)
        await _unless_hung_up(handler(scope, body, answer), receive)
    except http.HungUp:
        return
    except Refused as refused:
        headers = {**refused.headers(), "request-id": request_id}
        await answer.json(refused.status, refused.body(request_id), headers)
    except Exception:
        logger.exception("Request %s to %s failed", request_id, scope["path"])
        if not answer.begun:
            failed = Refused(500, f"The gateway failed; its log says more under {request_id}.")
            await answer.json(500, failed.body(request_id))


async def shutdown() -> None:
    """Close what this event loop opened."""
    await upstream.close()
    await database.close()


def _route(method: str, path: str) -> tuple[Handler, int]:
    exact: dict[tuple[str, str], tuple[Handler, int]] = {
        ("POST", "/v1/messages"): (_message, CALL_BYTES_MAX),
        ("POST", "/v1/messages/count_tokens"): (_count_tokens, CALL_BYTES_MAX),
        ("GET", "/v1/models"): (_models, OTHER_BYTES_MAX),
        ("POST", "/guest/v1/report"): (_report, OTHER_BYTES_MAX),
    }
    if method == "GET" and _MODEL.fullmatch(path):
        return _models, OTHER_BYTES_MAX
    if (method, path) not in exact:
        raise Refused(404, f"The gateway does not serve {method} {path}.")
    return exact[method, path]


async def _unless_hung_up(work: Awaitable[None], receive: Receive) -> None:
    """Do `work`, and cancel it when the client goes away or the server stops; either way see it through to its end."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(http.hang_up(receive))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait({working})
    if not working.cancelled():
        working.result()


async def _message(scope: Scope, body: bytes, answer: Answer) -> None:
    admission = await admit(http.token(scope), body)
    await Exchange(admission, answer, path=_target(scope), headers=scope["headers"]).run()


async def _count_tokens(scope: Scope, body: bytes, answer: Answer) -> None:
    """Free of charge; the offline model's estimate is a rough one."""
    await database.run(calls.authenticate, http.token(scope))
    if settings.ANTHROPIC_API_KEY:
        await _pass(scope, body, answer)
    else:
        await answer.json(200, {"input_tokens": len(body) // 4 + 1})


async def _models(scope: Scope, body: bytes, answer: Answer) -> None:
    await database.run(calls.authenticate, http.token(scope))
    if settings.ANTHROPIC_API_KEY:
        await _pass(scope, body, answer)
        return
    model = {"type": "model", "id": OFFLINE_MODEL, "display_name": "autovibe's offline model"}
    if scope["path"] == "/v1/models":
        await answer.json(200, {"data": [model], "has_more": False})
    else:
        await answer.json(200, model)


async def _pass(scope: Scope, body: bytes, answer: Answer) -> None:
    """Forward what costs nothing."""
    try:
        async with upstream.ask(scope["method"], _target(scope), scope["headers"], body) as response:
            await answer.begin(response.status, response.headers)
            async for chunk in response.chunks:
                await answer.write(chunk)
            await answer.end()
    except (upstream.NotSent, upstream.BrokenOff) as error:
        if answer.begun:
            return
        raise Refused(502, str(error)) from error


async def _report(scope: Scope, body: bytes, answer: Answer) -> None:
    await answer.json(200, await database.run(_take_report, http.token(scope), body))


def _take_report(token: str, body: bytes) -> dict[str, Any]:
    machine = calls.authenticate(token)
    try:
        sent = json.loads(body)
        if not isinstance(sent, dict):
            raise Refused(400, "A report is a JSON object.")
        return reports.report(machine, sent)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"The report is not JSON: {error}") from None
    except Refusal as refusal:
        raise Refused(refusal.status, str(refusal)) from None


def _target(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    return f"{scope['path']}?{query}" if query else str(scope["path"])
