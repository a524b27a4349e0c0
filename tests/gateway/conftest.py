"""A running machine with a token, the gateway in front of it, and a provider behind."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from pytest_django import Settings

from budgets import actions as budgets
from checkpoints import actions as checkpoints
from guests.models import Guest
from machines import tokens
from machines.models import Machine
from machines.states import State
from projects import actions as projects
from projects.models import User
from tests.gateway import servers
from tests.gateway.provider import Provider
from tests.gateway.upstreams import upstream

MODEL = "claude-sonnet-4-5"
DOLLAR = 1_000_000


@pytest.fixture
def provider(settings: Settings) -> Iterator[Provider]:
    with servers.provider() as provider:
        settings.ANTHROPIC_BASE_URL = provider.url
        settings.ANTHROPIC_API_KEY = "the-real-key"
        settings.GATEWAY_PATIENCE_SECONDS = 0
        yield provider


@pytest.fixture
def first(settings: Settings) -> Iterator[Provider]:
    """A provider that is to be an upstream: see `tests.gateway.upstreams`."""
    settings.GATEWAY_PATIENCE_SECONDS = 0
    with servers.provider() as made:
        yield made


@pytest.fixture
def second() -> Iterator[Provider]:
    with servers.provider() as made:
        yield made


@pytest.fixture
def two(first: Provider, second: Provider, owner: User) -> None:
    """Two upstreams, to be asked in this order."""
    upstream("first", first, priority=1)
    upstream("second", second, priority=2)


@pytest.fixture
def owner(transactional_db: None) -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def machine(owner: User) -> Machine:
    """Running, of a type that takes no checkpoints, with five dollars."""
    project = projects.create(slug="demo", by=owner)
    budgets.set_limit(project, "money", 5 * DOLLAR, by=owner)
    template = Guest.objects.create(vmid=9000, node="embedded", template=True)
    return Machine.objects.create(
        number=12,
        project=project,
        type="shell",
        prompt="Say hello.",
        source=checkpoints.genesis(project, template),
        guest=Guest.objects.create(project=project, vmid=10_000, node="embedded"),
        wall_seconds=60,
        state=State.RUNNING,
    )


@pytest.fixture
def token(machine: Machine) -> str:
    return tokens.mint(machine)


@pytest.fixture
def gateway(token: str) -> Iterator[str]:
    with servers.gateway() as url:
        yield url


Call = Callable[..., requests.Response]


@pytest.fixture
def call(gateway: str, token: str) -> Call:
    """Asks for a message, as an agent does."""

    def calling(*, stream: bool = False, timeout: float = 30, **changes: Any) -> requests.Response:
        body = {
            "model": MODEL,
            "max_tokens": 2000,
            "messages": [{"role": "user", "content": "Say hello."}],
            **({"stream": True} if stream else {}),
            **changes,
        }
        headers = {"authorization": f"Bearer {token}", "anthropic-version": "2023-06-01"}
        return requests.post(
            f"{gateway}/v1/messages?beta=true", json=body, headers=headers, stream=stream, timeout=timeout
        )

    return calling
