"""MCP × everybody: whoever has a good token is heard, and nobody else. What its tools answer is the API's to say."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.test import Client

from mcp_server.app import MCP, PATHS
from tests.permissions.conftest import Stage

QUESTION = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()


@pytest.mark.parametrize("path", sorted(PATHS))
def test_it_hears_whoever_has_a_good_token(path: str, stage: Stage) -> None:
    answers = {one.name: _asked("POST", path, one.key) for one in stage.everybody}

    assert answers == {one.name: 200 if one.alive else 401 for one in stage.everybody}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_it_is_asked_by_post_only(method: str, stage: Stage) -> None:
    assert {_asked(method, "/mcp", one.key) for one in stage.everybody} == {405}


async def _api(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """What MCP asks: the API, in the stage's transaction, which Django's own handler would leave for a thread's."""
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    answer = await sync_to_async(Client(headers=headers).generic)(scope["method"], scope["path"])
    await send({"type": "http.response.start", "status": answer.status_code, "headers": []})
    await send({"type": "http.response.body", "body": answer.content})


@async_to_sync
async def _asked(method: str, path: str, key: str) -> int:
    """The status of its answer."""
    headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    headers |= {"host": "localhost", "content-length": str(len(QUESTION))}
    headers |= {"authorization": f"Bearer {key}"} if key else {}
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "client": ("127.0.0.1", 50_000),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    pieces = [{"type": "http.request", "body": QUESTION, "more_body": False}]
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return pieces.pop() if pieces else await asyncio.Event().wait()  # type: ignore[return-value]

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    mcp = MCP(_api, "test")
    await mcp(scope, receive, send)
    await mcp.shutdown()
    (status,) = statuses
    return status
