"""Sockets × everybody: a page's doorbell, and the console."""

import asyncio

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, Group

from dashboard.console import Relay
from guests.models import Guest
from guests.states import State
from projects import actions as projects
from projects.models import User
from projects.roles import Role
from tests.dashboard.test_doorbell import Socket, session_of
from tests.permissions import world

pytestmark = pytest.mark.django_db(transaction=True)

HEARD, SIGNED_OUT, NO_ACCESS, NOT_THERE = 0, 4401, 4403, 4404
LOOKING_ON = ("mia", "bob", "ada", "sven", "wall")  # Mia did not spawn the machine
EXPECTED = {
    "stranger": SIGNED_OUT,
    "alice": HEARD,
    "olga": HEARD,
    "mia": HEARD,
    "bob": HEARD,
    "ada": HEARD,
    "charlie": NO_ACCESS,
    "root": HEARD,
    "sven": HEARD,
    "wall": HEARD,
}


def _people(world: world.World, owner: User) -> dict[str, User | AnonymousUser]:
    found: dict[str, User | AnonymousUser] = {"stranger": AnonymousUser(), "alice": owner}
    for name, role in (
        ("olga", Role.OPERATOR),
        ("mia", Role.MEMBER),
        ("bob", Role.VIEWER),
        ("ada", Role.AUDITOR),
    ):
        found[name] = user = User.objects.create_user(name)
        projects.admit(world.project, user, role, by=owner)
    found["charlie"] = User.objects.create_user("charlie")
    found["root"] = User.objects.create_superuser("root")
    for name, group in (("sven", "Auditors"), ("wall", "Wall screens")):
        found[name] = user = User.objects.create_user(name)
        user.groups.add(Group.objects.get(name=group))
    return found


@pytest.mark.parametrize("kind", ["project", "machine"])
def test_a_doorbell_is_heard_by_whom_it_may(kind: str) -> None:
    owner = User.objects.create_user("alice")
    demo = _demo(owner)
    subject = demo.project.subject if kind == "project" else demo.machine.subject

    heard = {name: asyncio.run(_listen(user, subject)) for name, user in _people(demo, owner).items()}

    assert heard == EXPECTED


def test_a_console_is_for_whoever_may_operate_the_machine() -> None:
    owner = User.objects.create_user("alice")
    demo = _demo(owner)

    opened = {name: asyncio.run(_open(user, demo)) for name, user in _people(demo, owner).items()}

    assert opened == EXPECTED | dict.fromkeys(LOOKING_ON, NO_ACCESS) | {"charlie": NOT_THERE}


def _demo(owner: User) -> world.World:
    template = Guest.objects.create(
        vmid=settings.PROXMOX_TEMPLATE, node="embedded", template=True, state=State.PRESENT
    )
    return world.build(projects.create(slug="demo", by=owner), template, owner)


async def _open(user: User | AnonymousUser, demo: world.World) -> int:
    """`HEARD`, whatever becomes of it without a VM; or the code that it is closed with."""
    route = {"kwargs": {"handle": demo.machine.handle}}
    scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": [], "user": user}
    page = ApplicationCommunicator(Relay.as_asgi(), {**scope, "url_route": route})
    await page.send_input({"type": "websocket.connect"})
    assert (await page.receive_output(timeout=20))["type"] == "websocket.accept"
    message = await page.receive_output(timeout=20)
    await page.send_input({"type": "websocket.disconnect", "code": 1001})
    await page.wait(timeout=20)
    return int(message.get("code", HEARD))


async def _listen(user: User | AnonymousUser, subject: str) -> int:
    """`HEARD`, or the code that it is closed with."""
    socket = Socket(user, await sync_to_async(session_of)(user), (subject,))
    await socket.send_input({"type": "websocket.connect"})
    assert (await socket.receive_output(timeout=5))["type"] == "websocket.accept"
    message = await socket.receive_output(timeout=5)
    if message["type"] == "websocket.close":
        return int(message["code"])
    await socket.send_input({"type": "websocket.disconnect", "code": 1001})
    await socket.wait(timeout=5)
    return HEARD
