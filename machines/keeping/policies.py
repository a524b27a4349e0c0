"""Which policy of checkpoints holds for a machine: its type's, as its project and the machine itself depart from it."""

import logging
from collections.abc import Mapping
from functools import lru_cache

import orjson
from django.db import transaction

from checkpoints.models import Rules
from checkpoints.triggers.policy import InvalidPolicy, Policy, checked, merged
from events import actions as events
from machines import types
from machines.models import Machine
from projects.models import Project, User

logger = logging.getLogger(__name__)


def policy_of(machine: Machine) -> Policy:
    """The machine's. Raises `UnknownType`."""
    return effective(machine.type, departures(machine))


def departures(machine: Machine) -> dict[str, object]:
    """What its project and the machine itself say otherwise than its type."""
    rules = getattr(machine.project, "checkpoint_rules", None)  # there may be none
    return {**(rules.policy if rules else {}), **machine.checkpoints}


def effective(type_name: str, said: Mapping[str, object]) -> Policy:
    """The policy of a type, with what was said otherwise. Raises `UnknownType`.

    What is stored and cannot be understood, such as a pattern from before an update, is left out, and logged.
    """
    usual = types.get(type_name).checkpoints
    return _merged(usual, orjson.dumps(said)) if said else usual


@lru_cache(maxsize=1024)
def _merged(usual: Policy, said: bytes) -> Policy:
    try:
        return merged(usual, orjson.loads(said))
    except InvalidPolicy as error:
        logger.warning("A policy of checkpoints is left out: %s", error)
        return usual


def summary_of(machine: Machine) -> str:
    """The machine's policy in words; "" when its type is gone."""
    try:
        return policy_of(machine).summary
    except types.UnknownType:
        return ""


@transaction.atomic
def set_departures(project: Project, values: object, *, by: User) -> None:
    """When checkpoints of the project's machines are taken from now on; `{}` for as their types say.

    Raises `InvalidPolicy`.
    """
    said = checked(values)
    own = Rules.objects.filter(project=project).first()
    Rules.objects.update_or_create(project=project, defaults={"policy": said})
    events.record(
        "checkpoint_policy.set",
        subject=project.subject,
        project_id=project.id,
        by=by.username,
        before={"policy": own.policy if own else {}},
        policy=said,
    )


def of_project(said: Mapping[str, object]) -> dict[str, Policy]:
    """What holds for a project's machines, by type."""
    return {kind.name: effective(kind.name, said) for kind in types.all()}
