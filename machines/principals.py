"""Machines as principals: what one asks of the API or of MCP is asked by a user of its own."""

from django.db import transaction

from machines.models import Machine
from projects import actions as projects
from projects.models import User


@transaction.atomic
def principal_of(machine: Machine) -> User:
    """The user a machine acts as: in its project's group of machines, and nowhere else."""
    user, made = User.objects.get_or_create(
        username=f"machine:{machine.handle}", defaults={"kind": User.Kind.MACHINE}
    )
    if made:
        user.set_unusable_password()
        user.save(update_fields=["password"])
        user.groups.add(projects.machines_of(machine.project))
    return user
