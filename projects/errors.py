"""Refusals: what was asked was understood, and is not done. Interfaces translate them (`autovibe.problems`)."""

from collections.abc import Mapping
from typing import Any


class Refusal(Exception):
    """Says in one sentence, fit for a user, what is impossible and what to do instead."""

    status = 400
    type = "refused"

    def __init__(self, sentence: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        """`more` is what a program wants to know: of a conflict, the present `state` and the `possible` verbs."""
        super().__init__(sentence)
        self.headers, self.more = headers or {}, more


class Invalid(Refusal):
    """What was sent cannot be right."""

    status = 400
    type = "invalid"


class Forbidden(Refusal):
    """The asker may not, and more can be said of it than that."""

    status = 403
    type = "forbidden"


class NotThere(Refusal):
    """No such thing, or none that the asker may see."""

    status = 404
    type = "not-found"


class Conflict(Refusal):
    """The object is not in a state that allows this, or somebody was faster."""

    status = 409
    type = "conflict"
