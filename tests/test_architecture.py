"""The shape of the house, as tests: what import-linter cannot see."""

import ast
import pydoc
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps

from checkpoints import states as checkpoint_states
from guests import states as guest_states
from machines import states as machine_states

ROOT = Path(__file__).resolve().parent.parent
# Lowest first; a model may point only at rooms before its own, or at its own.
ROOMS = [
    "events",
    "projects",
    "operations",
    "budgets",
    "guests",
    "checkpoints",
    "machines",
    "gateway",
    "accounts",
]


def sources() -> Iterator[Path]:
    for room in [*ROOMS, "proxmox", "hubs", "dashboard", "autovibe"]:
        yield from (path for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts)


def test_relations_point_downwards():
    wrong = [
        f"{model.__name__}.{field.name} -> {field.related_model._meta.app_label}"
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if model._meta.app_label in ROOMS
        and field.is_relation
        and field.concrete
        and field.related_model is not None
        and field.related_model._meta.app_label in ROOMS
        and ROOMS.index(field.related_model._meta.app_label) > ROOMS.index(model._meta.app_label)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "states", [machine_states, checkpoint_states, guest_states], ids=lambda m: m.__name__
)
class TestStateTable:
    def test_every_state_has_a_row(self, states):
        assert set(states.MOVES) == set(states.State)

    def test_every_state_can_be_reached_but_the_first(self, states):
        reached = {target for targets in states.MOVES.values() for target in targets}
        assert set(states.State) - reached == {next(iter(states.State))}


def test_every_busy_state_of_a_machine_has_a_way_out_to_failed():
    for state in machine_states.BUSY:
        assert machine_states.State.FAILED in machine_states.MOVES[state], state


def test_every_queued_task_can_be_found():
    """django-q2 finds out only in the worker; we find out here."""
    named = {
        name
        for path in sources()
        for name in [*re.findall(r'(?:task=|async_task\(\s*)"([\w.]+)"', path.read_text()), *_begun(path)]
    }
    assert {"machines.tasks.verify", "machines.tasks.restore_file", "guests.tasks.destroy"} <= named
    assert [name for name in named if not callable(pydoc.locate(name))] == []


def _begun(path: Path) -> Iterator[str]:
    """The tasks of verbs that a room begins by their names: `begin("pause", …)`, `_begin("export", …)`."""
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    for call in calls:
        begins = isinstance(call.func, ast.Name) and call.func.id in {"begin", "_begin"}
        if begins and isinstance(verb := call.args[0], ast.Constant):
            yield f"{path.relative_to(ROOT).parts[0]}.tasks.{verb.value}"


def test_only_move_writes_state():
    """`x.state = …` outside `move()` goes around the table."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources()
        if "proxmox/node" not in str(path)
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name != "move"
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Attribute)
        and target.attr in {"state", "status", "verdict"}
        and _is_row(target)
    ]
    assert found == []


def _is_row(target: ast.Attribute) -> bool:
    return isinstance(target.value, ast.Name) and target.value.id in {
        "machine",
        "checkpoint",
        "guest",
        "operation",
        "verification",
    }
