"""Every page that can be looked at. The permission tests say which routes there are; here is what is no page."""

from collections.abc import Iterator
from dataclasses import dataclass
from string import Formatter

from tests.permissions.rows_pages import PAGES as ROUTES

# Routes that answer GET, and are nothing that one looks at.
NO_PAGES = {
    "moment": "a fragment",
    "limit_preview": "a fragment",
    "budget_history": "a fragment",
    "budget_what_if": "a fragment",
    "beginnings": "a fragment",
    "counts": "a fragment",
    "logs_export": "a file",
    "log_lines": "JSON",
    "receipt": "JSON",
    "charts": "JSON",
    "log_file": "a text",
    "ledger_csv": "a file",
    "audit_export": "a file",
    "project_audit_export": "a file",
}

# The same pages in another state, those of other rooms, and where a scene has other things than the permission tests.
ALSO = {
    "rollback": "machines/{done}/rollback/?to={first}",
    "member_remove": "p/{slug}/members/remove/?name={member}",
    "fleet-failed": "?state=failed",
    "fleet-none": "?state=failed&project=nothing",
    "machine-done": "machines/{done}/",
    "machine-failed": "machines/{failed}/",
    "machine-past": "machines/{done}/?at=2",
    "machine-timeline": "machines/{done}/?tab=timeline",
    "machine-checkpoints": "machines/{done}/?tab=checkpoints",
    "machine-files": "machines/{done}/?tab=files",
    "machine-cost": "machines/{machine}/?tab=cost",
    "machine-events": "machines/{machine}/?tab=events",
    "verb-checkpoint": "machines/{machine}/checkpoint/",
    "checkpoint-file": "checkpoints/{checkpoint}/?path=fizzbuzz.py",
    "checkpoint-genesis": "checkpoints/{slug}.c0/",
    "audit-none": "audit/?q=actor:nobody-of-that-name",
    "logs-none": "logs/?q=nothing-that-anybody-printed",
    "not-found": "machines/m999999/",
    "password": "account/password/",
    "app": "account/app/",
}
STRANGERS = {
    "sign-in": "sign-in/",
    "sign-in-forgotten": "sign-in/forgotten/",
    "sign-in-closed": "sign-in/closed/",
    "sign-in-cancelled": "sign-in/cancelled/",
    "wall": "wall/{wall}/",
    "wall-gone": "wall/none/",
}
STATUS = {"not-found": 404, "wall-gone": 404}


@dataclass(frozen=True)
class Page:
    """A page's name, and its path with placeholders for a scene's ids."""

    name: str
    path: str
    signed_in: bool = True

    @property
    def needs(self) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(self.path) if name}

    @property
    def status(self) -> int:
        """Of its answer."""
        return STATUS.get(self.name, 200)

    def is_in(self, ids: dict[str, str]) -> bool:
        """Whether a scene has what the page is of."""
        return self.needs <= ids.keys()

    def at(self, url: str, ids: dict[str, str]) -> str:
        return f"{url}/{self.path.format_map(ids)}"


def _all() -> Iterator[Page]:
    routes = {name: row.path for name, row in ROUTES.items() if row.method == "GET" and row.ok == 200}
    for name, path in (routes | ALSO).items():
        if name not in NO_PAGES:
            yield Page(name, path)
    yield from (Page(name, path, signed_in=False) for name, path in STRANGERS.items())


PAGES = tuple(_all())
