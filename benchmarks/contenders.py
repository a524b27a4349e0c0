"""The gateways that `benchmarks.gateway` compares: how each is installed, started and given budgets."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from autovibe.embedded.postgres import Postgres
from benchmarks import gateway_rows
from benchmarks.processes import free_port, started
from benchmarks.stack import migrate

UNLIMITED = 10**12
MODELS = {"messages": "claude-sonnet-4-5", "chat": "gpt-4.1-mini"}
PATHS = {"messages": "/v1/messages", "chat": "/v1/chat/completions"}
LITELLM = "litellm[proxy]==1.106.2"  # the last whose dependencies are all on PyPI
HARDCAP = "hardcap==0.1.0"


class NotInstalled(Exception):
    """This contender cannot run here; the message says why."""


@dataclass(frozen=True)
class Client:
    """How an agent calls: where, as whom, for which model, in which API."""

    url: str
    key: str
    model: str
    api: str

    @property
    def headers(self) -> dict[str, str]:
        return {
            "authorization": f"Bearer {self.key}",
            "content-type": "application/json",
            "anthropic-version": "2023-06-01",
        }

    def body(self, prompt: str, *, stream: bool, max_tokens: int) -> str:
        asked: dict[str, Any] = {
            "model": self.model,
            "max_tokens": max_tokens,
            "messages": [{"role": "user", "content": prompt}],
        }
        if stream:
            asked["stream"] = True
            if self.api == "chat":
                asked["stream_options"] = {"include_usage": True}
        return json.dumps(asked, ensure_ascii=False)


@dataclass(frozen=True)
class Running:
    """A contender that runs. `parts`: the pid that each kind of its processes descends from."""

    parts: dict[str, int]
    clients: dict[str, Client]  # with nothing to stop them; by API, and what is special about one


class Contender(Protocol):
    name: str
    share: float  # of the calls that others are sent; the slow need not be waited for

    def running(self, home: Path, upstream: str) -> AbstractContextManager[Running]:
        """Raises `NotInstalled`."""

    def budgeted(self, running: Running, limits: dict[str, int]) -> AbstractContextManager[dict[str, Client]]:
        """Clients that have so many tokens to spend, by the names given."""


def _client(base: str, api: str, key: str, model: str = "") -> Client:
    return Client(base + PATHS[api], key, model or MODELS[api], api)


class Direct:
    """Without a gateway: what latency is added to, and what is billed where nothing limits it."""

    name, share = "direct", 1.0

    @contextmanager
    def running(self, home: Path, upstream: str) -> Iterator[Running]:
        yield Running({}, {api: _client(upstream, api, "none") for api in PATHS})

    @contextmanager
    def budgeted(self, running: Running, limits: dict[str, int]) -> Iterator[dict[str, Client]]:
        yield dict.fromkeys(limits, running.clients["messages"])


class Autovibe:
    """The web process as `bin/dev` starts it, on a PostgreSQL of its own with its durability on.

    And a second one that records what is said; at any time only one of them has something to do.
    """

    name, share = "autovibe", 1.0

    @contextmanager
    def running(self, home: Path, upstream: str) -> Iterator[Running]:
        server = Postgres(home / "postgres")
        server.start()
        try:
            migrate(server.url)
            gateway_rows.prepare(server.url)
            token = gateway_rows.running_machine("load", tokens=UNLIMITED)
            with (
                self._web(home, server.url, upstream, recording="off") as (web, base),
                self._web(home, server.url, upstream, recording="full") as (recording, recorded),
            ):
                postgres = int((server.data / "postmaster.pid").read_text().split()[0])
                self._base = base
                clients = {api: _client(base, api, token) for api in PATHS}
                clients["messages recorded"] = _client(recorded, "messages", token)
                yield Running({"web": web, "recording web": recording, "postgres": postgres}, clients)
        finally:
            server.stop()

    @contextmanager
    def budgeted(self, running: Running, limits: dict[str, int]) -> Iterator[dict[str, Client]]:
        keys = {name: gateway_rows.running_machine(name, tokens=limit) for name, limit in limits.items()}
        yield {name: _client(self._base, "messages", key) for name, key in keys.items()}

    @contextmanager
    def _web(self, home: Path, database: str, upstream: str, *, recording: str) -> Iterator[tuple[int, str]]:
        port = free_port()
        argv = (sys.executable, "-m", "uvicorn", "autovibe.asgi:application", "--port", str(port))
        env = {
            "DATABASE_URL": database,
            "SECRET_KEY": "only-for-benchmarks-" + "x" * 40,
            "ANTHROPIC_API_KEY": "a-key",
            "ANTHROPIC_UPSTREAM_URL": upstream,
            "OPENAI_API_KEY": "a-key",
            "OPENAI_UPSTREAM_URL": upstream,
            "GATEWAY_RECORDING": recording,
            "DEBUG": "0",
            "LOG_LEVEL": "WARNING",
        }
        log, base = home / f"web-{recording}.log", f"http://127.0.0.1:{port}"
        options = ("--lifespan", "on", "--no-access-log")
        with started((*argv, *options), log, answers=f"{base}/v1/", env=env) as pid:
            yield pid, base


class LiteLLM:
    """Its proxy with one worker and no database: the one its budgets per key want cannot be had everywhere.

    What it can limit without one are its router's budgets, in money; tokens are given a price for that.
    """

    name, share = "litellm", 0.2

    def __init__(self, cache: Path) -> None:
        self._venv = Venv(cache / "litellm", LITELLM)

    @contextmanager
    def running(self, home: Path, upstream: str) -> Iterator[Running]:
        self._home, self._upstream = home, upstream
        models = [
            self._model(MODELS["messages"], f"anthropic/{MODELS['messages']}", upstream),
            self._model(MODELS["chat"], f"openai/{MODELS['chat']}", f"{upstream}/v1"),
        ]
        with self._proxy("litellm", models) as (pid, base):
            yield Running({"proxy": pid}, {api: _client(base, api, "sk-benchmark") for api in PATHS})

    @contextmanager
    def budgeted(self, running: Running, limits: dict[str, int]) -> Iterator[dict[str, Client]]:
        """Another proxy: budgets change what all calls cost."""
        micro = {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6, "budget_duration": "1d"}
        models = [
            self._model(name, "anthropic/claude-benchmark", self._upstream, max_budget=limit / 1e6, **micro)
            for name, limit in limits.items()
        ]
        with self._proxy("litellm-budgets", models) as (_, base):
            yield {name: _client(base, "messages", "sk-benchmark", name) for name in limits}

    def _model(self, name: str, model: str, base: str, **more: Any) -> dict[str, Any]:
        return {
            "model_name": name,
            "litellm_params": {"model": model, "api_base": base, "api_key": "a-key", **more},
        }

    @contextmanager
    def _proxy(self, name: str, models: list[dict[str, Any]]) -> Iterator[tuple[int, str]]:
        port, config = free_port(), self._home / f"{name}.yaml"  # JSON is YAML
        base = f"http://127.0.0.1:{port}"
        settings = {
            "general_settings": {"master_key": "sk-benchmark"},
            "litellm_settings": {"telemetry": False},
        }
        config.write_text(json.dumps({"model_list": models, **settings}))
        argv = (
            self._venv.program("litellm"),
            "--config",
            str(config),
            "--port",
            str(port),
            "--num_workers",
            "1",
        )
        env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        log = self._home / f"{name}.log"
        with started(
            (*argv, "--host", "127.0.0.1"), log, answers=f"{base}/health/liveliness", env=env
        ) as pid:
            yield pid, base


class Hardcap:
    """Its server with one worker, on a Redis that keeps everything in memory and nothing else."""

    name, share = "hardcap", 1.0

    def __init__(self, cache: Path) -> None:
        self._venv = Venv(cache / "hardcap", HARDCAP)

    @contextmanager
    def running(self, home: Path, upstream: str) -> Iterator[Running]:
        self._home, self._upstream, self._redis = home, upstream, free_port()
        program = self._venv.program("hardcap")
        if (server := shutil.which("redis-server")) is None:
            raise NotInstalled("there is no redis-server on this machine")
        argv = (server, "--port", str(self._redis), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        answers = f"tcp://127.0.0.1:{self._redis}"
        with (
            started(argv, home / "redis.log", answers=answers) as redis,
            self._server(program, {"load": UNLIMITED}) as (pid, base),
        ):
            yield Running({"server": pid, "redis": redis}, {"chat": _client(base, "chat", "sk-load")})

    @contextmanager
    def budgeted(self, running: Running, limits: dict[str, int]) -> Iterator[dict[str, Client]]:
        """Another server: tenants stand in its configuration."""
        with self._server(self._venv.program("hardcap"), limits) as (_, base):
            yield {name: _client(base, "chat", f"sk-{name}") for name in limits}

    @contextmanager
    def _server(self, program: str, limits: dict[str, int]) -> Iterator[tuple[int, str]]:
        port, config = free_port(), self._home / f"hardcap-{min(limits)}.yaml"
        base = f"http://127.0.0.1:{port}"
        tenants = {
            name: {"api_keys": [f"sk-{name}"], "budget": {"window_s": 10**9, "total": limit}}
            for name, limit in limits.items()
        }
        config.write_text(
            json.dumps(
                {
                    "redis_url": f"redis://127.0.0.1:{self._redis}/0",
                    "upstreams": {
                        "fake": {"kind": "openai", "base_url": self._upstream, "read_timeout_s": 300}
                    },
                    "routes": {MODELS["chat"]: {"targets": [{"upstream": "fake", "model": MODELS["chat"]}]}},
                    "tenants": tenants,
                }
            )
        )
        argv = (program, "serve", "-c", str(config), "--host", "127.0.0.1", "--port", str(port))
        with started(argv, self._home / "hardcap.log", answers=f"{base}/healthz") as pid:
            yield pid, base


class Venv:
    """A package in an environment of its own, made when it is first asked for."""

    def __init__(self, home: Path, requirement: str) -> None:
        self._home, self._requirement = home, requirement

    def program(self, name: str) -> str:
        """The path of a program of the package. Raises `NotInstalled`."""
        found = self._home / "bin" / name
        if not found.exists():
            self._install()
        return str(found)

    def _install(self) -> None:
        print(f"Installing {self._requirement} into {self._home} …", file=sys.stderr)
        try:
            subprocess.run([sys.executable, "-m", "venv", self._home], check=True)
            pip = [str(self._home / "bin" / "pip"), "install", "--quiet", self._requirement]
            subprocess.run(pip, check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            shutil.rmtree(self._home, ignore_errors=True)
            lines = (error.stderr or str(error)).strip().splitlines()
            raise NotInstalled(f"{self._requirement} cannot be installed: {lines[-1]}") from error


def contenders(cache: Path) -> dict[str, Contender]:
    """All of them, by name."""
    os.makedirs(cache, exist_ok=True)
    known: list[Contender] = [Direct(), Autovibe(), LiteLLM(cache), Hardcap(cache)]
    return {each.name: each for each in known}
