"""One thing that is needed before machines can run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """`state` is done, enough, busy, open or failed; what mends it is a link, a form of the page, or commands.

    `thing` is the route and the handle of what it speaks of. Nobody has to see to an `optional` one.
    """

    key: str
    title: str
    state: str
    said: str
    why: str
    link: tuple[str, str] = ("", "")
    form: str = ""
    commands: tuple[str, ...] = ()
    thing: tuple[str, str] = ("", "")
    optional: bool = False

    @property
    def ready(self) -> bool:
        return self.state in ("done", "enough")
