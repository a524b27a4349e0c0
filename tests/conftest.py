"""The cast: Alice owns the project, Bob only looks, Charlie must never see anything."""

from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from django.conf import settings as configured
from django.core.cache import caches
from rest_framework.test import APIClient

from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint
from guests.models import Guest
from guests.states import State
from projects import actions as projects
from projects.models import Project, User
from projects.roles import Role


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--whole", action="store_true", help="run long sweeps whole, not a sample of them")
    parser.addoption("--write-examples", action="store_true", help="write the API's examples anew")


def pytest_configure(config: pytest.Config) -> None:
    hypothesis.settings.register_profile("whole", max_examples=3000)
    if config.getoption("--whole"):
        hypothesis.settings.load_profile("whole")


# Whole stacks take longest: with `--no-loadscope-reorder` two workers begin with them and end at the same time.
FIRST = ("acceptance", "e2e", "embedded", "faults", "machines", "proofs", "guests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--whole"):
        items[:] = [item for item in items if not item.get_closest_marker("whole")]
    order = {name: at for at, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.parent.name, len(FIRST)))


@pytest.fixture(autouse=True)
def _plain_static_files(settings: Any) -> None:
    """Pages name static files as they are, so that no collectstatic has to have run."""
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.WHITENOISE_AUTOREFRESH = True  # else it complains that nothing was collected
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": backend}}


@pytest.fixture(autouse=True)
def _nothing_is_reckoned_yet() -> None:
    caches["process"].clear()


@pytest.fixture
def people(db: None) -> dict[str, User]:
    return {name: User.objects.create_user(name) for name in ("alice", "bob", "charlie")}


@pytest.fixture
def alice(people: dict[str, User]) -> User:
    return people["alice"]


@pytest.fixture
def project(people: dict[str, User]) -> Project:
    project = projects.create(slug="demo", by=people["alice"])
    projects.admit(project, people["bob"], Role.VIEWER, by=people["alice"])
    return project


@pytest.fixture
def template(db: None) -> Guest:
    return Guest.objects.create(
        vmid=configured.PROXMOX_TEMPLATE, node="embedded", template=True, state=State.PRESENT
    )


@pytest.fixture
def genesis(project: Project, template: Guest) -> Checkpoint:
    return checkpoints.genesis(project, template)


@pytest.fixture
def api(people: dict[str, User]) -> Callable[[str], APIClient]:
    """A client of the API, signed in as that person."""

    def client(name: str) -> APIClient:
        made = APIClient()
        made.force_authenticate(people[name])
        return made

    return client
