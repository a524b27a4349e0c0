"""Browsers of the cast, and a machine to look at."""

import re
import time
from collections.abc import Callable

import pytest
from django.test import Client

from checkpoints.models import Checkpoint
from gateway.upstreams import registry
from machines.models import Machine
from projects.models import Project, User
from tests.dashboard import rows

Browser = Callable[[str], Client]


def text(page: str) -> str:
    """Without tags, as one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


@pytest.fixture
def browser(people: dict[str, User]) -> Browser:
    """A browser, signed in as that person; "" for nobody."""

    def open_as(name: str) -> Client:
        client = Client()
        if name:
            client.force_login(people[name])
        return client

    return open_as


@pytest.fixture
def fresh(browser: Browser) -> Browser:
    """A browser in which somebody gave their password just now."""

    def open_as(name: str) -> Client:
        client = browser(name)
        session = client.session
        session["account_authentication_methods"] = [{"method": "password", "at": time.time()}]
        session.save()
        return client

    return open_as


@pytest.fixture
def staff(people: dict[str, User], browser: Browser) -> Client:
    people["alice"].is_staff = True
    people["alice"].save()
    return browser("alice")


@pytest.fixture
def machine(project: Project, genesis: Checkpoint) -> Machine:
    """Running, with two checkpoints, a call, and something printed."""
    rows.budget(project)
    made = rows.machine(project, genesis)
    rows.checkpoint(made, {})
    rows.call(made)
    rows.checkpoint(made, {"hello.py": "print('hello')\n"})
    rows.log(made, "hello", "world")
    return made


@pytest.fixture
def checkpoint(machine: Machine) -> Checkpoint:
    assert machine.present is not None
    return machine.present


@pytest.fixture(autouse=True)
def _upstreams_are_known(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read again every two seconds, which would make queries that no page is to blame for."""
    registry.reset()
    registry.refresh()
    monkeypatch.setattr(registry, "REFRESH_SECONDS", 3600.0)
