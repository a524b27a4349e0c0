"""HTTP: authentication, finding the handler, parameters in and Proxmox's envelope and reason phrases out."""

import asyncio
import json
import logging
import signal
import ssl
from concurrent.futures import ThreadPoolExecutor
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from proxmox.node import monitor, page, routes, schema, tasks, template, uploads, websocket
from proxmox.node.access import conditions, rules, visible
from proxmox.node.api import load
from proxmox.node.consoles import Session
from proxmox.node.errors import BadParameters, Failure
from proxmox.node.faults import Fault
from proxmox.node.host import Host
from proxmox.node.options import Options
from proxmox.node.routes import Call, Listing
from proxmox.node.usage import Sampling

PREFIX = "/api2/json"
EXTJS = "/api2/extjs"  # the same for the web interface: HTTP 200 whatever happens, and `success`
BODY_LIMIT = 512 * 1024  # pve-http-server's own
IDLE_SECONDS = 5  # after which Proxmox closes a kept connection, whatever the client is about to send

logger = logging.getLogger(__name__)


class Server:
    """Requests, one handler for all of them."""

    def __init__(self, host: Host) -> None:
        self._host = host
        # Calls may wait for locks and guests; these threads wait for them, so that the loop never does.
        self._threads = ThreadPoolExecutor(64, thread_name_prefix="api")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        response = await self._answer(request)
        return _for_extjs(response) if request.path.startswith(EXTJS + "/") else response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._dispatch(request)
        except Failure as failure:
            return _refusal(failure)
        except web.HTTPRequestEntityTooLarge:
            return _refusal(Failure("for data too large", status=501))
        except Exception as error:
            logger.exception("%s %s failed in a way that is our fault.", request.method, request.path)
            return _refusal(Failure(f"{type(error).__name__}: {error}"))

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/":
            return web.Response(text=page.html(self._host), content_type="text/html")
        path = request.path.removeprefix(PREFIX).removeprefix(EXTJS)
        user = "" if rules.is_public(request.method, path) else await self._authenticate(request)
        if request.path == "/fault" and self._host.options.faults:
            return await self._plan_fault(request)
        is_api = request.path.startswith((PREFIX + "/", EXTJS + "/"))
        found = routes.find(request.method, path) if is_api else None
        if found is None:
            raise Failure(f"Method '{request.method} {path}' not implemented", status=501)
        route, in_path = found
        given = await self._given(request)
        rules.check(self._host, route.method, route.path, user, given | in_path)
        self._check_node(in_path.get("node", self._host.name))
        self._host.faults.check_request(request.method, path)
        fault = self._fault(request, path)
        call = Call(schema.check(route.schema, given | in_path), user)
        return await self._perform(request, route, call, fault)

    async def _perform(
        self, request: web.Request, route: routes.Route, call: Call, fault: Fault | None
    ) -> web.StreamResponse:
        if fault:
            await fault.before()
            if fault.answers:
                return _success(fault.reason)
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._act, route, call, fault)
        # A client that goes away does not undo what it asked for.
        data = await asyncio.shield(work)
        if isinstance(data, Session):
            return await websocket.serve(self._host, request, data)
        if fault and fault.drops and request.transport:
            request.transport.abort()
        if fault:
            fault.after()
        return _success(data)

    def _act(self, route: routes.Route, call: Call, fault: Fault | None) -> Any:
        with tasks.afflicted(fault.afflict if fault else None):
            conditions.check(self._host, route.method, route.path, call)
            data = route.handler(self._host, call)
            return visible.filtered(self._host, route.method, route.path, call, data)

    async def _given(self, request: web.Request) -> dict[str, Any]:
        if request.content_type == "multipart/form-data":
            return await uploads.received(request, self._host.uploads)
        return await _parameters(request)

    def _fault(self, request: web.Request, path: str) -> Fault | None:
        header = request.headers.get("X-Fault", "") if self._host.options.faults else ""
        return self._host.faults.take(request.method, path, header)

    async def _authenticate(self, request: web.Request) -> str:
        try:
            return self._host.authentication.who(request.method, request.headers, request.cookies)
        except Failure:
            await asyncio.sleep(self._host.options.auth_delay_seconds)
            raise

    def _check_node(self, node: str) -> None:
        if node not in {self._host.name, "localhost"}:
            lookup = f"hostname lookup '{node}' failed - failed to get address info for: {node}"
            raise Failure(f"{lookup}: {self._host.release.lookup_failure}")

    async def _plan_fault(self, request: web.Request) -> web.Response:
        if request.method == "DELETE":
            self._host.faults.clear()
        else:
            self._host.faults.add(await _parameters(request))
        return _success(None)


async def _parameters(request: web.Request) -> dict[str, Any]:
    """Query and body together. A repeated key becomes a list."""
    body = await request.read()
    if body and request.method in {"GET", "DELETE"}:
        raise Failure(f"Unexpected content for method '{request.method}'", status=501)
    pairs = parse_qsl(request.query_string, keep_blank_values=True)
    if request.content_type == "application/json":
        return _collected(pairs) | _json(body)
    return _collected(pairs + parse_qsl(body.decode("utf-8", errors="replace"), keep_blank_values=True))


def _json(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body or b"{}")
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise Failure("data is not a valid JSON object", status=400)
    return values


def _collected(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name not in values:
            values[name] = value
        elif isinstance(values[name], list):
            values[name].append(value)
        else:
            values[name] = [values[name], value]
    return values


def _success(data: Any) -> web.Response:
    envelope = {"data": data.data if isinstance(data, Listing) else data}
    if isinstance(data, Listing) and data.total:  # pve-http-server leaves a total of 0 out
        envelope["total"] = data.total
    return _json_response(200, "OK", envelope)


def _refusal(failure: Failure) -> web.Response:
    """The first line goes into the reason phrase, all of it into the body."""
    reason = (failure.text.splitlines() or [""])[0].encode("ascii", "replace").decode()
    if failure.bare:
        response = web.Response(status=failure.status, reason=reason)
    else:
        message = failure.text + ("" if failure.status == 501 else "\n")
        envelope: dict[str, Any] = {"data": None, "message": message}
        if isinstance(failure, BadParameters):
            envelope["errors"] = failure.errors
        response = _json_response(failure.status, reason, envelope)
    response.force_close()
    return response


def _for_extjs(response: web.StreamResponse) -> web.StreamResponse:
    if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
        return response
    envelope = {"success": int(response.status == 200)} | json.loads(response.body)
    return _json_response(200, "OK", envelope | ({} if envelope["success"] else {"status": response.status}))


def _json_response(status: int, reason: str, envelope: dict[str, Any]) -> web.Response:
    body = json.dumps(envelope).encode()
    headers = {"Content-Type": "application/json;charset=UTF-8"}
    return web.Response(status=status, reason=reason, body=body, headers=headers)


async def _sign(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "pve-api-daemon/3.0"
    if isinstance(response, web.Response) and not response.body:
        response.headers.popall("Content-Type", None)


def run(options: Options) -> None:
    """Serve until SIGTERM or SIGINT. Prints one line with the address once it listens."""
    load()
    host = Host(options)
    try:
        template.ensure(host)
        monitor.watch(host)
        host.metrics.watch(Sampling(host).take)
        asyncio.run(_serve(host))
    finally:
        host.close()


async def _serve(host: Host) -> None:
    options, ended = host.options, asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    app = web.Application(client_max_size=BODY_LIMIT)
    app.router.add_route("*", "/{path:.*}", Server(host).answer)
    app.on_response_prepare.append(_sign)
    runner = web.AppRunner(
        app,
        keepalive_timeout=IDLE_SECONDS,
        shutdown_timeout=1,
        access_log=_access_log(options.state),
        access_log_format='%a [%t] "%r" %s %b %Tf',
    )
    await runner.setup()
    site = web.TCPSite(runner, options.host, options.port, ssl_context=_tls(options), backlog=512)
    await site.start()
    port = runner.addresses[0][1]
    print(f"listening on {'https' if options.tls_cert else 'http'}://{options.host}:{port}", flush=True)
    await ended.wait()
    await runner.cleanup()


def _access_log(state: Path) -> logging.Logger:
    """Every request on a line in STATE/access.log, as pveproxy keeps it; of bounded size."""
    access = logging.getLogger("proxmox.node.access")
    access.addHandler(RotatingFileHandler(state / "access.log", maxBytes=32 * 1024**2, backupCount=1))
    access.setLevel(logging.INFO)
    access.propagate = False
    return access


def _tls(options: Options) -> ssl.SSLContext | None:
    if not options.tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.tls_cert, options.tls_key or None)
    return context
