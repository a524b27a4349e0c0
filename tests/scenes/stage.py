"""What every scene begins with, as `manage.py bootstrap` makes it; and what a browser needs to enter."""

import time
from dataclasses import dataclass, field
from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.test import Client
from django.utils import timezone

from budgets import actions as budgets
from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint
from guests.models import Guest, Node, Storage
from guests.states import State
from projects import actions as projects
from projects.models import Project, User
from tests.e2e.stack import PASSWORD
from tests.scenes.script import Script

DOLLAR = 1_000_000
GIB = 1024**3
FIRST_LIMIT = 20 * DOLLAR
DAYS = 6  # that a scene looks back


@dataclass
class Stage:
    """The first admin, the project `demo` and its genesis; `ids` fills the placeholders of addresses."""

    script: Script
    admin: User
    demo: Project
    genesis: Checkpoint
    ids: dict[str, str] = field(default_factory=dict)


def build() -> Stage:
    """The scene of a first day: nobody has asked for anything yet."""
    return enter()


def enter() -> Stage:
    """The stage as it was some days ago."""
    script = Script(timezone.now().replace(microsecond=0))
    with connection.cursor() as cursor:
        cursor.execute("SELECT budgets_partitions((now() - interval '40 days')::date, 3)")
    made: list[Stage] = []
    script.before(DAYS * 24 * 60, lambda: made.append(_made(script)))
    script.play()
    return made[0]


def _made(script: Script) -> Stage:
    admin = User.objects.create_superuser("admin", password=PASSWORD)
    demo = projects.create(slug="demo", name="Demo", by=admin)
    template = Guest.objects.create(
        vmid=settings.PROXMOX_TEMPLATE, node="pve1", template=True, state=State.PRESENT, storage="local-lvm",
        image_format="raw", disk_bytes=8 * GIB, observed_at=script.now - timedelta(seconds=4),
    )  # fmt: skip
    for name in ("pve1", "pve2"):
        Node.objects.create(
            name=name,
            seen_at=script.now,
            processors=32,
            cpu=0.23,
            memory_bytes=128 * GIB,
            memory_used_bytes=44 * GIB,
        )
        Storage.objects.create(
            name="local-lvm", node=name, kind="lvmthin", seen_at=script.now, total_bytes=1800 * GIB,
            available_bytes=910 * GIB,
        )  # fmt: skip
    genesis = checkpoints.genesis(demo, template)
    budgets.set_limit(demo, "money", FIRST_LIMIT, by=admin)
    return Stage(script, admin, demo, genesis, {"slug": demo.slug})


def signed_in(user: User) -> str:
    """The value of the session cookie of somebody who has signed in, and need not confirm that for a day."""
    browser = Client()
    browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    session = browser.session
    confirmed = time.time() + timedelta(days=1).total_seconds()
    session["account_authentication_methods"] = [{"method": "password", "at": confirmed}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()
    return browser.cookies[settings.SESSION_COOKIE_NAME].value
