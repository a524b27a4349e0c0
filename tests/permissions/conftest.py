"""The cast on the stage, made once for a file: two projects, and everybody who may be anybody in the first.

Each request is undone, so that none is answered otherwise because of an earlier one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from guests.models import Guest
from guests.states import State
from projects import actions as projects
from projects.models import User
from projects.roles import SYSTEM_ROLES, Right, Role
from tests.permissions import cast, world
from tests.permissions.cast import Principal
from tests.permissions.world import World


@dataclass
class Stage:
    """`demo` is whose routes are asked for; Charlie owns `shop`, and has nothing to do with it."""

    demo: World
    shop: World
    everybody: list[Principal]


@pytest.fixture(scope="module")
def stage(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Stage]:
    with django_db_blocker.unblock(), transaction.atomic():
        yield _stage()
        transaction.set_rollback(True)


def _stage() -> Stage:
    template = Guest.objects.create(
        vmid=settings.PROXMOX_TEMPLATE, node="embedded", template=True, state=State.PRESENT
    )
    alice, charlie = User.objects.create_user("alice"), User.objects.create_user("charlie")
    demo = world.build(projects.create(slug="demo", by=alice), template, alice)
    shop = world.build(projects.create(slug="shop", by=charlie), template, charlie)
    return Stage(demo, shop, _everybody(demo, shop, alice))


def _everybody(demo: World, shop: World, alice: User) -> list[Principal]:
    expired = timezone.now() - timedelta(seconds=1)
    return [
        Principal("stranger", alive=False),
        cast.person("alice", demo.project, Role.OWNER),
        cast.person("olga", demo.project, Role.OPERATOR),
        cast.person("mia", demo.project, Role.MEMBER),
        cast.person("bob", demo.project, Role.VIEWER),
        cast.person("ada", demo.project, Role.AUDITOR),
        cast.person("charlie", demo.project, None),
        cast.admin("root"),
        cast.system("sven", "Auditors", SYSTEM_ROLES["Auditors"]),
        cast.system("wall", "Wall screens", SYSTEM_ROLES["Wall screens"], User.Kind.SCREEN),
        cast.bounded("looking only", alice, frozenset({Right.VIEW}), scopes=[Right.VIEW]),
        cast.bounded("for another project", alice, frozenset(), project=shop.project),
        cast.bounded("expired", alice, frozenset(), expires_at=expired).dead(),
        cast.machine("its own machine", demo.machine, Role.MEMBER),
        cast.machine("another project's machine", shop.machine, Role.MEMBER).outside(),
    ]
