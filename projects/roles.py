"""What may be done in a project, and the roles that are made of it. Pure data; who holds what is in `models.grants`."""

from enum import StrEnum

from django.db import models


class Right(StrEnum):
    """What somebody may do; the code names of the permissions that django-guardian grants on projects."""

    VIEW = "view_project"
    READ_AUDIT = "read_audit"
    SPAWN = "spawn_machines"
    OPERATE = "operate_machines"
    BUDGETS = "manage_budgets"
    MANAGE = "manage_project"


WORDS = {
    Right.VIEW: "See the project, its machines, checkpoints, logs and costs",
    Right.READ_AUDIT: "Read who did what, from where, with which token",
    Right.SPAWN: "Spawn machines, and operate those they spawned",
    Right.OPERATE: "Operate every machine: pause, message, roll back, terminate",
    Right.BUDGETS: "Change limits, grant requests, share with other projects",
    Right.MANAGE: "Change members, settings and what is kept",
}

# What a token may be allowed besides: what only administrators may do, on the whole system.
ADMINISTER = "administer"


class Role(models.TextChoices):
    """What a member is called by what they may do."""

    OWNER = "owner"
    OPERATOR = "operator"
    MEMBER = "member"
    VIEWER = "viewer"
    AUDITOR = "auditor"


RIGHTS: dict[Role, frozenset[Right]] = {
    Role.OWNER: frozenset(Right),
    Role.OPERATOR: frozenset({Right.VIEW, Right.SPAWN, Right.OPERATE}),
    Role.MEMBER: frozenset({Right.VIEW, Right.SPAWN}),
    Role.VIEWER: frozenset({Right.VIEW}),
    Role.AUDITOR: frozenset({Right.VIEW, Right.READ_AUDIT}),
}

# Groups whose members hold rights on every project; administrators are staff, as Django has it.
SYSTEM_ROLES: dict[str, frozenset[Right]] = {
    "Auditors": frozenset({Right.VIEW, Right.READ_AUDIT}),
    "Wall screens": frozenset({Right.VIEW}),
}

# What a project may let its own machines be.
MACHINE_ROLES = (Role.VIEWER, Role.MEMBER)


def role_of(rights: frozenset[str]) -> Role | None:
    """The role with exactly these rights."""
    return next((role for role, held in RIGHTS.items() if held == rights), None)
