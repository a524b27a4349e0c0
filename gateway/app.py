"""The ASGI application for `/v1/…` (models) and `/guest/v1/…` (guests' reports), beside Django and its middleware."""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import uuid4

from gateway import calls, database, door, guest_requests, http, recordings, teller, unpaid, upstreams
from gateway.admission import admit
from gateway.dialects.base import Dialect
from gateway.dialects.chat import CHAT
from gateway.dialects.messages import Messages
from gateway.dialects.responses import RESPONSES
from gateway.errors import Refused
from gateway.exchange import Exchange
from gateway.http import Answer, Receive, Scope, Send
from gateway.upstreams import registry
from machines import reports
from projects.errors import Refusal

logger = logging.getLogger(__name__)

CALL_BYTES_MAX = 32 * 1024**2  # the providers' own limit
OTHER_BYTES_MAX = 1024**2

# Nothing that climbs: behind the provider's other paths lies what our key may see, and a guest may not.
_MODEL = re.compile(r"/v1/models/\w[\w.:-]*")

Handler = Callable[[Scope, bytes, Answer], Awaitable[None]]


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one HTTP request; what the agent may not have is refused in its own API's words."""
    request_id, answer, dialect = f"req_{uuid4().hex}", Answer(send), _dialect(scope)
    try:
        handler, limit = _route(scope["method"], scope["path"], dialect)
        body = await _let_in(scope, receive, limit)
        with door.room_for(http.token(scope), len(body)):
            await _unless_hung_up(handler(scope, body, answer), receive)
    except http.HungUp:
        return
    except Refused as refused:
        headers = {**refused.headers(), "request-id": request_id, "x-request-id": request_id}
        await answer.json(refused.status, dialect.error_body(refused, request_id), headers)
    except Exception:
        logger.exception("Request %s to %s failed", request_id, scope["path"])
        if not answer.begun:
            failed = Refused(500, f"The gateway failed; its log says more under {request_id}.")
            await answer.json(500, dialect.error_body(failed, request_id))


async def shutdown() -> None:
    """Close what this event loop opened."""
    await upstreams.close()
    await teller.close()
    await recordings.close()
    await database.close()


async def _let_in(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The body of a request whose token is good. Of a stranger's nothing is kept, but it is heard out.

    A client that is still sending would take an early answer for a broken connection, and try again.
    """
    try:
        if scope["path"] != "/api/hello":
            await door.check(http.token(scope))
    except Refused:
        await http.read_body(receive, limit=limit, keep=False)
        raise
    return await http.read_body(receive, limit=limit)


def _dialect(scope: Scope) -> Dialect:
    """The API that is spoken: the path says it, and for a list of models, which both providers have, the headers."""
    by_path: dict[str, Dialect] = {"/v1/chat/completions": CHAT, "/v1/responses": RESPONSES}
    if scope["path"] in by_path:
        return by_path[scope["path"]]
    if scope["path"].startswith("/v1/models") and not http.header(scope, b"anthropic-version"):
        return CHAT
    return Messages(betas=http.header(scope, b"anthropic-beta"))


def _route(method: str, path: str, dialect: Dialect) -> tuple[Handler, int]:
    exact: dict[tuple[str, str], tuple[Handler, int]] = {
        ("POST", "/v1/messages"): (partial(_call, dialect), CALL_BYTES_MAX),
        ("POST", "/v1/messages/count_tokens"): (_count_tokens, CALL_BYTES_MAX),
        ("POST", "/v1/chat/completions"): (partial(_call, dialect), CALL_BYTES_MAX),
        ("POST", "/v1/responses"): (partial(_call, dialect), CALL_BYTES_MAX),
        ("GET", "/v1/models"): (partial(_models, dialect), OTHER_BYTES_MAX),
        ("POST", "/guest/v1/report"): (_report, OTHER_BYTES_MAX),
        ("POST", "/guest/v1/budget-requests"): (_budget_request, OTHER_BYTES_MAX),
        ("GET", "/api/hello"): (_hello, OTHER_BYTES_MAX),
    }
    if method == "GET" and _MODEL.fullmatch(path):
        return partial(_models, dialect), OTHER_BYTES_MAX
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


async def _call(dialect: Dialect, scope: Scope, body: bytes, answer: Answer) -> None:
    admission = await admit(http.token(scope), body, dialect)
    await Exchange(admission, answer, path=http.target(scope), headers=scope["headers"]).run()


async def _count_tokens(scope: Scope, body: bytes, answer: Answer) -> None:
    asker = await database.run(_authenticate, http.token(scope))
    await unpaid.count_tokens(scope, body, answer, asker)


async def _models(dialect: Dialect, scope: Scope, body: bytes, answer: Answer) -> None:
    asker = await database.run(_authenticate, http.token(scope))
    handle = unpaid.models if scope["path"] == "/v1/models" else unpaid.model
    await handle(scope, body, answer, asker, dialect.name)


async def _hello(scope: Scope, body: bytes, answer: Answer) -> None:
    """Claude Code asks whether anybody is there."""
    await answer.json(200, {"message": "hello"})


async def _report(scope: Scope, body: bytes, answer: Answer) -> None:
    await answer.json(200, await database.run(_take_report, http.token(scope), body))


async def _budget_request(scope: Scope, body: bytes, answer: Answer) -> None:
    await answer.json(200, await database.run(guest_requests.take, http.token(scope), body))


def _authenticate(token: str) -> unpaid.Asker:
    machine = calls.authenticate(token)
    registry.refresh()
    return unpaid.Asker(str(machine.id), str(machine.project_id), alone=machine.replays_id is not None)


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
