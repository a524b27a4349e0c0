"""How building a template fails: with a sentence that says what to do."""


class BuildError(Exception):
    """It does not go on without a person; the message says why, and what to do."""
