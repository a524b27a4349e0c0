"""Bring everything up in order, wait until it is healthy, and take it down again."""

import asyncio
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable

from autovibe.embedded import freshness, leftovers, ports, programs
from autovibe.embedded.postgres import Postgres
from autovibe.embedded.programs import ROOT, Ports
from autovibe.embedded.state import State
from autovibe.embedded.supervisor import Program, Supervisor

WEB_PORT = 8000
NODE_PORT = 8006
_UP_SECONDS = 120.0

Say = Callable[[str], None]


class Stack:
    """All processes over one state directory."""

    def __init__(self, state: State, say: Say) -> None:
        self.state = state
        self.ports = _choose_ports(state)
        self.supervisor = Supervisor(logs=state.logs, run=state.run, say=say)
        self._say = say
        self._server: Postgres | None = None
        self._started: list[str] = []

    async def up(self) -> None:
        """Start everything. Raises PostgresError or SupervisorError when something does not come up."""
        for name in await asyncio.to_thread(leftovers.end, self.state.run):
            self._say(f"Ended {name}, which an earlier bin/dev had left running.")
        env = programs.environment(self.state.secrets(), self.ports, await self._database())
        await self._migrate(env)
        await self._collect_static(env)
        await self._node(env)
        self._say("Setting up the first project …")
        await self.supervisor.finish(programs.bootstrap(self.state, self.ports, env))
        self._say("Starting web, worker and hub …")
        for program in (programs.web(self.ports, env), programs.worker(env), programs.hub(env)):
            self._start(program)
        await self.supervisor.until(self._healthy, self._started, _UP_SECONDS)

    async def down(self) -> None:
        """Stop everything that was started, the last first."""
        await self.supervisor.stop()

    def _start(self, program: Program) -> None:
        self.supervisor.start(program)
        self._started.append(program.name)

    async def _database(self) -> str:
        """The database's address: the one in the environment, or of our own server, which runs then."""
        if url := os.environ.get("DATABASE_URL"):
            return url
        self._say("Starting PostgreSQL …")
        self._server = server = Postgres(self.state.postgres)
        await asyncio.to_thread(server.prepare)
        self._start(programs.postgres(server, os.environ))
        await self.supervisor.until(lambda: asyncio.to_thread(server.answers), ["postgres"], _UP_SECONDS)
        await asyncio.to_thread(server.create_database)
        return server.url

    async def _migrate(self, env: dict[str, str]) -> None:
        """Bring the schema up to date. Only of our own database do we know what was done to it."""
        stamp = self._server.home / "migrated" if self._server else None
        digest = freshness.migrations()
        if stamp and freshness.unchanged(stamp, digest):
            return
        self._say("Preparing the database …")
        await self.supervisor.finish(programs.manage("migrate", env, "--no-input"))
        if stamp:
            freshness.remember(stamp, digest)

    async def _collect_static(self, env: dict[str, str]) -> None:
        target = ROOT / "staticfiles"
        digest = freshness.static_files()
        if freshness.unchanged(target / ".collected", digest):
            return
        self._say("Collecting static files …")
        await self.supervisor.finish(programs.manage("collectstatic", env, "--no-input", "--clear"))
        freshness.remember(target / ".collected", digest)

    async def _node(self, env: dict[str, str]) -> None:
        if "PROXMOX_URL" in os.environ:
            return
        self._say("Starting the embedded node …")
        self.state.write_private("node/token", programs.node_token(self.state.secrets()))
        self._start(programs.node(self.state, self.ports, env))
        await self.supervisor.until(self._node_listens, ["node"], _UP_SECONDS)

    async def _node_listens(self) -> bool:
        return await asyncio.to_thread(ports.taken, self.ports.node)

    async def _healthy(self) -> bool:
        """Whether the web process says that it and all it needs are well."""
        return await asyncio.to_thread(_all_ok, f"{self.ports.web_url}/healthz")


def _all_ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return all(status == "ok" for status in json.load(answer).values())
    except (OSError, ValueError):  # not up yet, or up and not well: HTTPError is an OSError
        return False


def _choose_ports(state: State) -> Ports:
    """The ports of last time where they are free: running guests know the gateway by its address."""
    web = ports.choose(_wanted("AUTOVIBE_PORT"), state.port("web", WEB_PORT), variable="AUTOVIBE_PORT")
    node = ports.choose(
        _wanted("AUTOVIBE_NODE_PORT"),
        state.port("node", NODE_PORT),
        variable="AUTOVIBE_NODE_PORT",
        avoid=frozenset({web}),
    )
    state.remember_ports(web=web, node=node)
    return Ports(web=web, node=node)


def _wanted(variable: str) -> int | None:
    raw = os.environ.get(variable, "")
    if not raw:
        return None
    if not raw.isdigit() or not 0 < int(raw) < 65536:
        raise ports.PortTaken(f"{variable}={raw!r} is not a port number.")
    return int(raw)
