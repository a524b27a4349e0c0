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
    "logs": "logs/?q=ruff",
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
    "password": "account/password/",
    "app": "account/app/",
    "passkey-add": "account/passkeys/add/",
    "confirm": "account/confirm/",
}
STRANGERS = {
    "sign-in": "sign-in/",
    "sign-in-forgotten": "sign-in/forgotten/",
    "sign-in-sent": "sign-in/forgotten/sent/",
    "sign-in-new-password": "sign-in/new-password/1-a-link-that-is-too-old/",
    "sign-in-new-password-done": "sign-in/new-password/done/",
    "sign-in-closed": "sign-in/closed/",
    "sign-in-cancelled": "sign-in/cancelled/",
    "wall": "wall/{wall}/",
    "wall-gone": "wall/none/",
}
STATUS = {"wall-gone": 404}
# Pages that no scene can be asked for, because something has to be wrong first, or DEBUG off: status and template.
ERRORS = {
    "error-400": (400, "400.html"),
    "error-403": (403, "403.html"),
    "error-csrf": (403, "403_csrf.html"),
    "error-404": (404, "404.html"),
    "error-409": (409, "409.html"),
    "error-429": (429, "429.html"),
    "error-500": (500, "500.html"),
    "error-503": (503, "503.html"),
}
# Pages that say the same in every scene.
ALIKE = (STRANGERS.keys() - {"wall"}) | {
    "api", "api_tag", "styleguide", "appearance", "account", "password", "app", "passkey-add", "confirm", "palette",
    "console", "verb", "verb-checkpoint", "member_remove", "checkpoint-genesis", "fleet-none", "audit-none",
    "logs-none",
}  # fmt: skip


@dataclass(frozen=True)
class Page:
    """A page's name, and its path with placeholders for a scene's ids."""

    name: str
    path: str
    signed_in: bool = True
    template: str = ""  # of an error, which is shown in the place of an answer
    status: int = 200

    @property
    def needs(self) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(self.path) if name}

    def is_in(self, ids: dict[str, str]) -> bool:
        """Whether a scene has what the page is of."""
        return self.needs <= ids.keys()

    def at(self, url: str, ids: dict[str, str]) -> str:
        return f"{url}/{self.path.format_map(ids)}"


def _all() -> Iterator[Page]:
    routes = {name: row.path for name, row in ROUTES.items() if row.method == "GET" and row.ok == 200}
    for name, path in (routes | ALSO).items():
        if name not in NO_PAGES:
            yield Page(name, path, status=STATUS.get(name, 200))
    for name, path in STRANGERS.items():
        yield Page(name, path, signed_in=False, status=STATUS.get(name, 200))
    for name, (status, template) in ERRORS.items():
        yield Page(name, f"{name}/", signed_in=False, template=template, status=status)


PAGES = tuple(_all())
