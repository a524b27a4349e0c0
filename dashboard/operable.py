"""Which of many machines or operations somebody may operate: `projects.permissions.operates`, of all at once."""

from collections.abc import Iterable
from typing import Protocol
from uuid import UUID

from projects.models import Project, User
from projects.roles import Right


class Made(Protocol):
    """A machine, or an operation."""

    @property
    def pk(self) -> UUID: ...
    @property
    def project_id(self) -> UUID: ...
    @property
    def creator_id(self) -> int | None: ...


def of(user: User, things: Iterable[Made]) -> set[UUID]:
    """The ids of those that `user` may operate. One query, or two; the acts themselves ask again."""
    made = list(things)
    operated = _where(user, Right.OPERATE) if made else set()
    own = [one for one in made if one.project_id not in operated and one.creator_id == user.pk]
    spawned = _where(user, Right.SPAWN) if own else set()
    return {one.pk for one in made if one.project_id in operated} | {
        one.pk for one in own if one.project_id in spawned
    }


def _where(user: User, right: Right) -> set[UUID]:
    return set(Project.objects.permitted(user, right).values_list("pk", flat=True))
