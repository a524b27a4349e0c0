"""The REST API as tools ask it: what it answers as Python values, and its refusals in the same sentences."""

import json
from typing import Any
from urllib.parse import quote, urlencode

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError, ToolError

from mcp_server import inside
from mcp_server.inside import Answer, Application, Scope

Caller = Context[Application, Any]


class Refused(ToolError, ResourceError):
    """The API said no; this is its sentence. `retry_after`: in how many seconds it may say yes."""

    def __init__(self, sentence: str, retry_after: float | None = None) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class Api:
    """The API, asked on behalf of one caller. Paths are given in segments."""

    def __init__(self, application: Application, outer: Scope) -> None:
        self._application = application
        self._outer = outer

    async def get(self, *segments: str, **query: object) -> Any:
        """Parameters that are None are left out. Raises `Refused`, as all of these."""
        return json.loads(await self.get_bytes(*segments, **query))

    async def get_bytes(self, *segments: str, **query: object) -> bytes:
        given = {name: value for name, value in query.items() if value is not None}
        return (await self._ask("GET", segments, query=urlencode(given).encode())).body

    async def post(self, *segments: str, body: object = None, key: str | None = None) -> Any:
        """With a `key`, the same again gives the first answer."""
        headers = ((b"idempotency-key", quote(key).encode()),) if key else ()
        content = json.dumps(body or {}).encode()
        return json.loads((await self._ask("POST", segments, body=content, headers=headers)).body)

    async def _ask(
        self,
        method: str,
        segments: tuple[str, ...],
        *,
        query: bytes = b"",
        body: bytes = b"",
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> Answer:
        if strange := [one for one in segments if not one or "/" in one]:
            raise Refused(f"{strange[0]!r} is not a name of anything here.")
        answer = await inside.ask(
            self._application,
            self._outer,
            method,
            "/".join(["/api/v1", *segments, ""]),
            query=query,
            body=body,
            headers=((b"content-type", b"application/json"), *headers),
        )
        if not answer.ok:
            raise Refused(_sentence(answer), answer.retry_after)
        return answer


def of(ctx: Caller) -> Api:
    """The API as the caller of a tool may use it."""
    request = ctx.request_context
    assert request.request is not None  # it came over HTTP
    return Api(request.lifespan_context, request.request.scope)


def _sentence(answer: Answer) -> str:
    try:
        return str(json.loads(answer.body)["detail"])
    except (ValueError, TypeError, KeyError):
        return f"autovibe answered {answer.status}, without a reason."
