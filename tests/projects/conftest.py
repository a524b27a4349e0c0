"""Clients that call with a key, as programs do; and one more member."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from checkpoints.models import Checkpoint
from machines.models import Machine
from projects import actions as projects
from projects.models import ApiToken, Project, User
from projects.roles import Role
from tests.dashboard import rows

Keyed = Callable[[str], APIClient]
Later = Callable[..., None]


@pytest.fixture
def keyed() -> Keyed:
    """A client of the API that shows that key."""

    def client(key: str) -> APIClient:
        made = APIClient()
        made.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
        return made

    return client


@pytest.fixture
def by(people: dict[str, User], keyed: Keyed) -> Callable[[str], APIClient]:
    """A client with a token of that person that allows all they may do."""
    return lambda name: keyed(ApiToken.mint(people[name], "everything")[1])


@pytest.fixture
def dora(project: Project, alice: User) -> User:
    """She may spawn, and operate what she spawned."""
    dora = User.objects.create_user("dora")
    projects.admit(project, dora, Role.MEMBER, by=alice)
    return dora


@pytest.fixture
def browser_api(people: dict[str, User]) -> Callable[[str], APIClient]:
    """A browser of that person that calls the API, with its session."""

    def client(name: str) -> APIClient:
        made = APIClient()
        made.force_login(people[name], "django.contrib.auth.backends.ModelBackend")
        return made

    return client


@pytest.fixture
def later(time_machine: Any) -> Callable[..., None]:
    """`later(days=2)`: it is that much later, and time goes on."""
    return lambda **much: time_machine.move_to(timezone.now() + timedelta(**much))


@pytest.fixture
def machine(project: Project, genesis: Checkpoint) -> Machine:
    return rows.machine(project, genesis)
