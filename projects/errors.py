"""Refusals: what was asked was understood, and is not done. Interfaces translate them (`autovibe.problems`)."""


class Refusal(Exception):
    """Says in one sentence, fit for a user, what is impossible and what to do instead."""

    status = 400
    type = "refused"


class Invalid(Refusal):
    """What was sent cannot be right."""

    status = 400
    type = "invalid"


class NotThere(Refusal):
    """No such thing, or none that the asker may see."""

    status = 404
    type = "not-found"


class Conflict(Refusal):
    """The object is not in a state that allows this, or somebody was faster."""

    status = 409
    type = "conflict"
