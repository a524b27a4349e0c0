"""How the node says no: one failure type, whose text is an HTTP reason phrase or a task's exit status."""

from collections.abc import Mapping


class Failure(Exception):
    """Something that Proxmox refuses. `text` is the literal sentence; its first line becomes the reason phrase."""

    def __init__(self, text: str, *, status: int = 500, bare: bool = False) -> None:
        """`bare`: answer without a body, as Proxmox does for failed authentication and its 59x."""
        super().__init__(text)
        self.text = text
        self.status = status
        self.bare = bare


class BadParameters(Failure):
    """HTTP 400; `errors` maps each parameter to what is wrong with it."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("Parameter verification failed.", status=400)
        self.errors = dict(errors)


class Damaged(Failure):
    """Something that is kept on disk is not there any more, or not as it was written."""


class Interrupted(Failure):
    """The task was cancelled; what it says then is the worker's own."""


class WorkerKilled(BaseException):
    """An injected fault: the worker vanishes here, as after `kill -9`, and cleans nothing up."""
