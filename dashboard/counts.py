"""The counts in the bar of every page, in one query."""

from functools import cached_property
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, QuerySet, Value

from dashboard import needs, operations, snoozing
from projects.models import User


class Counts:
    """Counted when a template shows them. A page that has found out what waits asks only for what is under way."""

    def __init__(self, user: User | AnonymousUser) -> None:
        self._user = user

    @cached_property
    def needing(self) -> int:
        """How many things wait for this person, but for what that person has snoozed."""
        *waiting, self.operating = tally(*needs.waiting(self._user), operations.under_way(self._user))
        return sum(waiting) - len(snoozing.of(self._user).put) if any(waiting) else 0

    @cached_property
    def operating(self) -> int:
        """How many operations are under way that this person may want to hear of."""
        return operations.under_way(self._user).count()


def tally(*found: QuerySet[Any]) -> list[int]:
    """How many rows each of at least two has; one query."""
    first, *others = (
        rows.order_by().values(tallied=Value(place)).annotate(rows=Count("pk"))
        for place, rows in enumerate(found)
    )
    counted = dict(first.union(*others, all=True).values_list("tallied", "rows"))
    return [counted.get(place, 0) for place in range(len(found))]
