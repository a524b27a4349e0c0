"""The rows that a gateway needs before it lets a call in. Django is set up on the database that is given."""

import os

DOLLAR = 1_000_000


def prepare(database: str) -> None:
    """Use this process's Django on `database`; once per process."""
    os.environ |= {"DATABASE_URL": database, "DJANGO_SETTINGS_MODULE": "autovibe.settings"}
    import django

    django.setup()
    # Servers that are started next inherit it, and not all mean the same by it.
    del os.environ["DATABASE_URL"]


def running_machine(name: str, *, tokens: int) -> str:
    """A machine that takes no checkpoints, in a project of its own with `tokens` to spend; returns its token."""
    from budgets import actions as budgets
    from checkpoints import actions as checkpoints
    from guests.models import Guest
    from machines import tokens as keys
    from machines.models import Machine
    from machines.states import State
    from projects import actions as projects
    from projects.models import User

    owner, _ = User.objects.get_or_create(username="benchmark")
    project = projects.create(slug=name, by=owner)
    budgets.set_limit(project, "money", 1_000_000 * DOLLAR, by=owner)
    budgets.set_limit(project, "tokens", tokens, by=owner)
    number = Machine.objects.count() + 1
    template, _ = Guest.objects.get_or_create(vmid=9000, defaults={"node": "embedded", "template": True})
    machine = Machine.objects.create(
        number=number,
        project=project,
        type="shell",
        prompt="Say hello.",
        source=checkpoints.genesis(project, template),
        guest=Guest.objects.create(project=project, vmid=10_000 + number, node="embedded"),
        wall_seconds=3600,
        state=State.RUNNING,
    )
    return keys.mint(machine)
