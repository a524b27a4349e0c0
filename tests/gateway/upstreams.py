"""What tests of upstreams share: adding them, having them fail, and looking at what was charged."""

import json
from collections.abc import Callable
from typing import Any

import requests
from aiohttp import web

from budgets import ledger
from budgets.models import LedgerEntry, Reservation
from gateway import calls
from gateway.models import Call, Upstream
from gateway.upstreams import actions
from tests.gateway import provider as playing
from tests.gateway.provider import WRITTEN, Handler, Provider
from tests.gateway.servers import until

COST_MICROS = 12 * 3 + 1500 + (200 * 375 + 100 * 600) // 100 + WRITTEN * 15


def upstream(name: str, server: Provider, *keys: str, **fields: Any) -> Upstream:
    made = actions.add(by="alice", name=name, base_url=server.url, **{"dialects": ["messages"], **fields})
    for key in keys or ([] if made.free else ["main"]):
        actions.set_key(made, key, by="alice", secret=f"sk-{name}-{key}")
    return made


def refusing(status: int, **headers: str) -> Handler:
    return playing.refusing(
        status, "some_error", **{name.replace("_", "-"): value for name, value in headers.items()}
    )


def failing_once(status: int, **headers: str) -> Handler:
    """Refuses the first call, and answers the next."""
    refusals = iter([refusing(status, **headers)])

    async def answer(request: web.Request) -> web.StreamResponse:
        return await next(refusals, playing.whole_or_stream)(request)

    return answer


def posts(server: Provider) -> list[playing.Received]:
    return [each for each in server.received if each.body]


def ended() -> Call:
    return until(lambda: Call.objects.exclude(state__in=calls.OPEN).first())


def entry() -> LedgerEntry:
    return LedgerEntry.objects.exclude(kind="limit").get()


def books_are_right() -> bool:
    return not ledger.verify() and not Reservation.objects.filter(state="held").exists()


def listing(*names: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.path == "/v1/models"
        return web.json_response({"object": "list", "data": [{"id": name} for name in names]})

    return answer


def chat_with(
    gateway: str, token: str, model: str, more: dict[str, str] | None = None
) -> Callable[[], requests.Response]:
    body = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json", **(more or {})}
    return lambda: requests.post(
        f"{gateway}/v1/chat/completions", data=json.dumps(body), headers=headers, timeout=20
    )
