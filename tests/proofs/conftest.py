"""Machines on a real node, whose checkpoints are proven: an agent that talks, and whoever carries proofs out."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.utils.module_loading import import_string

from budgets import actions as budgets
from checkpoints.models import Checkpoint, Verification
from checkpoints.states import Depth
from guests import reconcile
from guests.models import Guest
from guests.states import State as GuestState
from machines import actions
from machines.models import Machine
from machines.work import bundle
from operations import watcher
from operations.models import Operation, Status
from projects.models import Project, User
from proxmox.connect import driver
from tests.guests.conftest import carry, connected, ended, fault, node, personality  # noqa: F401

# An agent with a conversation of three lines, in a file of its own; it makes no calls.
TALKER = """
name = "talker"
title = "Talker"
summary = "Says three things and waits."
good_at = ["tests"]
transcripts = ["/var/lib/talker"]
probe = 'test -e "$HOME/../var/lib/talker/log.jsonl"'
command = '''
mkdir -p "${GUEST_ROOT:-}/var/lib/talker" src
for n in 1 2 3; do echo "{\\"said\\": $n}" >> "${GUEST_ROOT:-}/var/lib/talker/log.jsonl"; done
sleep 600
'''
"""


@pytest.fixture(autouse=True)
def _house(settings: Any, tmp_path: Path, connected: Any, genesis: Checkpoint) -> None:  # noqa: F811
    """Our type is known, and the hub has looked at the cluster."""
    (tmp_path / "types").mkdir()
    (tmp_path / "types" / "talker.toml").write_text(TALKER)
    settings.MACHINE_TYPES_DIR = str(tmp_path / "types")
    settings.PROXMOX_BACKUP_STORAGE = ""
    reconcile.reconcile()


@pytest.fixture
def spawned(
    carry: Callable[..., Operation],  # noqa: F811
    project: Project,
    genesis: Checkpoint,
    alice: User,
) -> Callable[..., Machine]:
    """A machine with a talker in it that has said what it says, and a workspace of every kind of entry."""

    def spawned(**more: Any) -> Machine:
        if not budgets.applicable(budgets.Payer(project.id)):
            budgets.set_limit(project, resource="money", limit=1_000_000, by=alice)
        source = Checkpoint.objects.select_related("guest").get(pk=genesis.pk)
        asked = {"source": source, "type_name": "talker", "prompt": "Talk", **more}
        machine = actions.spawn(project=project, by=alice, **asked)
        operation = carry(Operation.objects.get(subject=machine.subject, verb="spawn"))
        assert operation.status == Status.SUCCEEDED, operation.error
        machine.refresh_from_db()
        said = (
            'cd "${GUEST_ROOT:-}/var/lib/talker"; until [ "$(wc -l < log.jsonl)" = 3 ]; do sleep 0.05; done'
        )
        run(machine, said)
        run(machine, FILES)
        return machine

    return spawned


FILES = """
cd "${GUEST_ROOT:-}/workspace"
mkdir -p src/deep docs
echo 'print(1)' > src/main.py
chmod 755 src/main.py
head -c 300000 /dev/urandom > src/deep/random.bin
printf '' > empty
ln -s src/main.py link
echo text > 'docs/with space ä.md'
mkdir .git .git/objects && head -c 5000 /dev/urandom > .git/objects/abc
"""


def run(machine: Machine, script: str) -> None:
    """Something happens in the machine's guest."""
    bundle._run(machine, script)


@pytest.fixture
def taken(carry: Callable[..., Operation], alice: User) -> Callable[[Machine], Checkpoint]:  # noqa: F811
    """A checkpoint of the machine, taken."""

    def taken(machine: Machine) -> Checkpoint:
        checkpoint = actions.checkpoint(machine, by=alice)
        carry(Operation.objects.get(verb="checkpoint", arguments__checkpoint=str(checkpoint.id)))
        return fresh(checkpoint)

    return taken


@pytest.fixture
def alike(carry: Callable[..., Operation]) -> Callable[..., list[Checkpoint]]:  # noqa: F811
    """Two checkpoints around model calls, between which only the conversation has grown by a line."""

    def alike(machine: Machine, says: str = '{"said": 4}') -> list[Checkpoint]:
        first = _around_call(machine, 1)
        run(machine, f"echo '{says}' >> \"${{GUEST_ROOT:-}}/var/lib/talker/log.jsonl\"")
        return [fresh(first), fresh(_around_call(machine, 2))]

    def _around_call(machine: Machine, number: int) -> Checkpoint:
        machine.refresh_from_db()
        key = actions.checkpoint_before_call(machine, number, uuid4())
        carry(Operation.objects.get(verb="checkpoint", arguments__checkpoint=str(key)))
        return Checkpoint.objects.get(pk=key)

    return alike


@pytest.fixture
def verified(carry: Callable[..., Operation], alice: User) -> Callable[..., Verification]:  # noqa: F811
    """The verdict, and nothing of the proof left at the node."""

    def verified(checkpoint: Checkpoint, depth: str = "boot", **more: Any) -> Verification:
        verification = actions.verify(fresh(checkpoint), Depth(depth), by=alice, **more)
        for operation in Operation.objects.filter(arguments__verification=str(verification.id)):
            carry(operation)
        cleared(carry)
        verification.refresh_from_db()
        return verification

    return verified


def cleared(carry: Callable[..., Operation]) -> None:  # noqa: F811
    """Whatever is to be destroyed is destroyed; then there are no guests but those of machines."""
    for operation in Operation.objects.active().filter(verb="destroy"):
        carry(operation)
    machines = set(Machine.objects.values_list("guest__vmid", flat=True))
    alive = set(
        Guest.objects.filter(template=False).exclude(state=GuestState.GONE).values_list("vmid", flat=True)
    )
    assert alive <= machines
    gone = set(Guest.objects.filter(state=GuestState.GONE).values_list("vmid", flat=True))
    assert gone.isdisjoint(vm.vmid for vm in driver().inventory())


def operation_of(verification: Verification) -> Operation:
    return Operation.objects.get(arguments__verification=str(verification.id))


def carry_to(verification: Verification, step: str) -> Operation:
    """As far as that step, which waits for a task at the node; it may have ended, and nobody has seen that."""
    operation = operation_of(verification)
    while True:
        import_string(operation.task)(str(operation.id))
        operation.refresh_from_db()
        if operation.step == step and operation.upid:
            return operation
        assert not operation.ended, operation.error
        time.sleep(min(watcher.tick(), 0.1))


def fresh(checkpoint: Checkpoint) -> Checkpoint:
    related = ("guest", "project", "manifest", "shares__manifest", "shares__guest")
    return Checkpoint.objects.select_related(*related).get(pk=checkpoint.pk)
