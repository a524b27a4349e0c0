"""How many more machines fit, from what was last seen of nodes and storages."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from checkpoints.models import Checkpoint
from guests.models import Guest, Node, Storage
from machines import room
from machines.states import State
from projects.models import Project
from tests.dashboard import rows

GIB = 1024**3
NODE = "embedded"  # where the template is


def seen(memory: int | None = 32, used: int | None = 16, free: int | None = 400, **also: Any) -> None:
    """One node with so many GiB of memory, of which so many are used, and so many free on the template's storage."""
    now = timezone.now()
    Guest.objects.filter(template=True).update(node=NODE, storage="local-lvm", disk_bytes=8 * GIB)
    values = {"seen_at": now} | also
    Node.objects.create(
        name=NODE, memory_bytes=memory and memory * GIB, memory_used_bytes=used and used * GIB, **values
    )
    Storage.objects.create(
        name="local-lvm", node=NODE, kind="lvmthin", seen_at=now, total_bytes=900 * GIB,
        available_bytes=None if free is None else free * GIB,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _template(genesis: Checkpoint) -> None:
    """New machines are made from something."""


def test_memory_binds_where_it_is_used_up_first() -> None:
    seen(memory=32, used=16, free=400, processors=8, cpu=0.234)

    here = room.look().here

    assert (here.machines, here.binds) == (8, "memory")
    assert here.sentence == "Room for about 8 more machines. Memory binds on embedded: 17 GB of it is free."
    assert here.load == "Its 8 processors are 23 % busy."


def test_storage_binds_where_it_is_used_up_first() -> None:
    seen(memory=320, free=20)

    here = room.look().here

    assert (here.machines, here.binds) == (2, "storage local-lvm")


def test_what_machines_that_are_starting_will_take_is_no_room(project: Project, genesis: Checkpoint) -> None:
    seen(memory=32, used=16, free=24)
    starting = rows.machine(project, genesis, State.CLONING)
    Guest.objects.filter(pk=starting.guest_id).update(storage="local-lvm", disk_bytes=8 * GIB)

    here = room.look().here

    assert (here.machines, here.binds) == (2, "storage local-lvm")
    Storage.objects.update(available_bytes=400 * GIB)
    assert room.look().here.machines == 7


def test_what_a_running_machine_has_taken_is_not_counted_twice(project: Project, genesis: Checkpoint) -> None:
    seen(memory=32, used=18)
    running = rows.machine(project, genesis)
    Guest.objects.filter(pk=running.guest_id).update(memory_bytes=3 * GIB)

    assert room.look().here.machines == 7


def test_no_room_is_said_as_such() -> None:
    seen(memory=32, used=31)

    assert room.look().here.sentence.startswith("No room for another machine. Memory binds on embedded")


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({"memory": None}, "Proxmox has not told how much memory it has"),
        ({"online": False}, "the node is away"),
        ({"seen_at": timezone.now() - timedelta(hours=1)}, "it was not looked at for a while"),
    ],
)
def test_what_nobody_knows_is_not_nothing(known: dict[str, Any], why: str) -> None:
    seen(**known)

    here = room.look().here

    assert here.machines is None
    assert here.sentence == f"It is unknown how much room embedded has: {why}."


def test_a_storage_that_tells_nothing_is_left_out_and_named() -> None:
    seen(memory=32, used=16, free=None)

    here = room.look().here

    assert here.machines == 8
    assert "Its storage is not counted: Proxmox has not told how full local-lvm is." in here.sentence


def test_without_a_template_nobody_knows_where_machines_begin() -> None:
    Guest.objects.update(template=False)

    here = room.look().here

    assert here.machines is None
    assert "no template was seen yet" in here.sentence
