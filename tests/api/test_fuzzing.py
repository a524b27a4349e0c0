"""Schemathesis over the whole API, as each kind of caller: nothing breaks, and nothing is answered that the
description does not know.

`--whole` tries many more requests at each operation.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings
from pytest_django import Settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from budgets import actions as budgets
from checkpoints.models import Checkpoint
from machines.models import Machine
from operations.models import Operation
from projects import actions as projects
from projects.models import Project, User
from projects.roles import Role
from tests.api import callers
from tests.dashboard import rows

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES, WHOLE = 1, 40
ENDLESS = {"events_stream"}  # its answer has no end


@pytest.fixture
def machine(project: Project, genesis: Checkpoint, alice: User) -> Machine:
    """One that has left things: a checkpoint with files, a log, calls, an operation."""
    budgets.set_limit(project, "money", 10_000_000, by=alice)
    projects.set_machine_role(project, Role.MEMBER, by=alice)
    made = rows.machine(project, genesis, created_by=alice)
    rows.checkpoint(made, {"a.txt": "hello"})
    rows.log(made, "a line")
    rows.call(made)
    Operation.objects.create(
        verb="pause",
        subject=made.subject,
        project=project,
        lock=made.guest.subject,
        task="machines.tasks.pause",
    )
    return made


@pytest.fixture
def known(machine: Machine) -> Callable[[str], dict[str, Any]]:
    """What there is to be named in an address."""

    def of(path: str) -> dict[str, Any]:
        left = Checkpoint.objects.get(origin=machine.subject)
        return {
            "slug": "demo",
            "reference": left.handle if "/checkpoints/" in path else machine.handle,
            "operation_id": str(Operation.objects.get().pk),
            "number": 1,
            "holder": "system",
            "name": "shared",
            "model": "claude-sonnet-4-5",
        }

    return of


@pytest.fixture
def _one_connection(machine: Machine) -> Iterator[None]:
    """Django's own test client does the same: requests share the test's transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def whole(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--whole"))


@pytest.mark.usefixtures("_one_connection")
def test_every_caller_is_answered_as_described(
    machine: Machine, alice: User, known: Callable[[str], dict[str, Any]], whole: bool, settings: Settings
) -> None:
    settings.API_RATE = 0
    keys = callers.keys(machine.project, alice, machine)
    found = _Found()
    for operation in _operations():
        try_one(operation, keys, known(operation.path), found, WHOLE if whole else EXAMPLES)
    assert found.tried > 500
    assert found.statuses >= {200, 201, 202, 400, 401, 403, 404, 409}
    assert not found.defects, "\n".join(f"{where}: {what}" for where, what in found.defects.items())


class _Found:
    """What came of it."""

    def __init__(self) -> None:
        self.tried = 0
        self.statuses: set[int] = set()
        self.defects: dict[str, str] = {}


def _operations() -> Iterator[schemathesis.APIOperation]:
    described = SchemaGenerator().get_schema(request=None, public=True)
    schema = schemathesis.openapi.from_dict(described)
    schema.app = get_wsgi_application()
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.definition.raw["operationId"] not in ENDLESS:
            yield operation


def try_one(
    operation: schemathesis.APIOperation,
    keys: dict[str, str],
    known: dict[str, Any],
    found: _Found,
    many: int,
) -> None:
    """Requests that the description allows, each as everybody; what they change is rolled back each time."""

    @given(case=operation.as_strategy())
    @settings(
        max_examples=many,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    def trying(case: schemathesis.Case) -> None:
        if found.tried % 4:  # the others have names that are made up
            case.path_parameters.update({name: known[name] for name in case.path_parameters if name in known})
        for name, key in keys.items():
            _send(case, name, key, found)

    trying()


def _send(case: schemathesis.Case, name: str, key: str, found: _Found) -> None:
    found.tried += 1
    with transaction.atomic():
        response = case.call(headers={"Authorization": f"Bearer {key}"})
        transaction.set_rollback(True)
    found.statuses.add(response.status_code)
    try:
        case.validate_response(response, checks=CHECKS)
    except BaseExceptionGroup as group:
        told = str(group.exceptions[0]).strip().splitlines()[:3]
        found.defects[f"{case.method} {case.operation.path} {response.status_code}"] = f"{name}: {told}"
