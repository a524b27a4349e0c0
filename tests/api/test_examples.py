"""The examples in the API's description are what the API answers."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator
from rest_framework.test import APIClient

from budgets import actions as budgets
from checkpoints.models import Checkpoint
from guests.models import Guest, Node, Storage
from operations.models import Operation
from projects.models import Project, User
from tests.api import examples
from tests.dashboard import rows


@pytest.fixture
def answered(
    api: Callable[[str], APIClient], project: Project, genesis: Checkpoint, alice: User
) -> dict[str, Any]:
    budgets.set_limit(project, "money", 10_000_000, by=alice)
    machine = rows.machine(project, genesis, created_by=alice)
    first = rows.checkpoint(machine, {"fizzbuzz.py": "print('fizz')\n"})
    second = rows.checkpoint(machine, {"fizzbuzz.py": "print('fizz')\nprint('buzz')\n"})
    rows.log(machine, "Writing fizzbuzz.py", "4 tests passed")
    rows.call(machine)
    seen = {"seen_at": timezone.now()}
    gib = 1024**3
    Guest.objects.filter(template=True).update(storage="local-lvm", disk_bytes=8 * gib)
    Node.objects.create(name=genesis.guest.node, memory_bytes=64 * gib, memory_used_bytes=30 * gib, **seen)
    Storage.objects.create(
        node=genesis.guest.node, name="local-lvm", kind="lvmthin", total_bytes=900 * gib,
        available_bytes=400 * gib, **seen,
    )  # fmt: skip
    operation = Operation.objects.create(
        verb="checkpoint", subject=machine.subject, project=project, lock=machine.guest.subject,
        task="checkpoints.tasks.take", status="succeeded", started_at=timezone.now(), finished_at=timezone.now(),
    )  # fmt: skip
    names = {
        "machine": machine.handle,
        "first": first.handle,
        "checkpoint": second.handle,
        "operation": str(operation.pk),
    }
    return examples.answered(api("alice"), names)


def test_they_are_what_is_answered(answered: dict[str, Any], request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--write-examples"):
        examples.WHERE.write_text(json.dumps(answered, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    assert examples.shape(examples.written()) == examples.shape(json.loads(json.dumps(answered)))


def test_they_are_what_the_description_says() -> None:
    described = SchemaGenerator().get_schema(request=None, public=True)
    shown = set()
    for methods in described["paths"].values():
        for operation in methods.values():
            for answer in operation["responses"].values():
                content = answer.get("content", {}).get("application/json", {})
                for example in content.get("examples", {}).values():
                    whole = {**content["schema"], "components": described["components"]}
                    Draft202012Validator(whole).validate(example["value"])
                    shown.add(operation["operationId"])
    assert shown == set(examples.REQUESTS)
