"""How a command can fail: each failure has a sentence for the user and an exit code for scripts."""

from __future__ import annotations


class Failure(Exception):
    """Refused, or failed."""

    exit_code = 1


class Usage(Failure):
    """What was typed cannot be right."""

    exit_code = 2


class Unreachable(Failure):
    """The server did not answer."""

    exit_code = 4


class AnswerLost(Unreachable):
    """The request left, the answer never came: it may have been carried out."""
