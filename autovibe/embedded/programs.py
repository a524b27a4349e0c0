"""Which processes make up autovibe on one machine, and the environment they run in."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autovibe.embedded import agents
from autovibe.embedded.ports import HOST
from autovibe.embedded.postgres import STOP_SIGNAL, Postgres
from autovibe.embedded.state import Secrets, State
from autovibe.embedded.supervisor import Program

ROOT = Path(__file__).resolve().parents[2]
ADMIN = "admin"
PROJECT = "demo"
WORKER_GRACE_SECONDS = 20  # for the tasks under way; what is cut off is taken over at the next start
# Guests may see what the processes that carry them see: these are not for them.
_NOT_FOR_GUESTS = {
    "ANTHROPIC_API_KEY",
    "AUDIT_KEY",
    "AUTOVIBE_ADMIN_PASSWORD",
    "DATABASE_URL",
    "OPENAI_API_KEY",
    "PROXMOX_TOKEN",
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
}


@dataclass(frozen=True)
class Ports:
    web: int
    node: int

    @property
    def web_url(self) -> str:
        return f"http://{HOST}:{self.web}"

    @property
    def node_url(self) -> str:
        return f"http://{HOST}:{self.node}"


def node_token(secrets: Secrets) -> str:
    return f"autovibe@pve!local={secrets.node_token}"


def environment(secrets: Secrets, ports: Ports, database_url: str) -> dict[str, str]:
    """The variables of all processes. What the caller's environment sets on purpose wins over our defaults."""
    defaults = {
        "ALLOWED_HOSTS": "localhost,127.0.0.1,[::1]",
        "AUTOVIBE_GATEWAY_URL": ports.web_url,
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "autovibe.settings",
        "SECRET_KEY": secrets.secret_key,
    }
    if "PROXMOX_URL" not in os.environ:
        defaults |= {"PROXMOX_URL": ports.node_url, "PROXMOX_TOKEN": node_token(secrets)}
    ours = {"AUTOVIBE_ADMIN_PASSWORD": secrets.admin_password, "PYTHONUNBUFFERED": "1"}
    return {**defaults, **os.environ, **ours}


def postgres(server: Postgres, env: Mapping[str, str]) -> Program:
    return Program(
        "postgres",
        server.command(),
        env,
        cwd=server.home,
        stop_signal=STOP_SIGNAL,
        popen_options=server.account.popen_options(),
    )


def node(state: State, ports: Ports, env: Mapping[str, str]) -> Program:
    """The embedded node; it reads the token that clients must send from its state directory.

    Agents that are installed here are to be had in its guests as well.
    """
    bare = {name: value for name, value in env.items() if name not in _NOT_FOR_GUESTS}
    shared = [option for path in agents.directories() for option in ("--host-path", str(path))]
    return manage(
        "node", bare, "--state", str(state.node), "--host", HOST, "--port", str(ports.node), *shared
    )


def web(ports: Ports, env: Mapping[str, str]) -> Program:
    server = (sys.executable, "-m", "autovibe.server", "--host", HOST, "--port", str(ports.web))
    # Pages close at once; a model call that is being streamed gets this long to finish.
    return Program("web", (*server, "--grace", "10"), env, cwd=ROOT)


def worker(env: Mapping[str, str]) -> Program:
    leash = (sys.executable, "-m", "autovibe.embedded.leash", str(WORKER_GRACE_SECONDS))
    argv = (*leash, sys.executable, "manage.py", "qcluster")
    return Program("worker", argv, _named(env, "worker"), cwd=ROOT, grace_seconds=WORKER_GRACE_SECONDS + 5)


def hub(env: Mapping[str, str]) -> Program:
    return manage("hub", _named(env, "hub"))


def bootstrap(state: State, ports: Ports, env: Mapping[str, str]) -> Program:
    return manage(
        "bootstrap",
        env,
        *("--admin", ADMIN, "--project", PROJECT),
        *("--cli-config", str(state.cli), "--url", ports.web_url),
    )


def _named(env: Mapping[str, str], name: str) -> dict[str, str]:
    """Name the process's database connections: that is how `/healthz` sees that it lives."""
    return {**env, "PGAPPNAME": f"autovibe {name}"}


def manage(command: str, env: Mapping[str, str], *arguments: str) -> Program:
    return Program(command, (sys.executable, "manage.py", command, *arguments), env, cwd=ROOT)
