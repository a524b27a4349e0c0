"""The main pages in the order of the bar, for the bar, the palette and the keys; and which one is being looked at."""

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse

from guests import diagnoses
from projects.models import User


@dataclass(frozen=True)
class Place:
    """A main page. `within` names the routes that lie behind it; `key` follows a `g`."""

    label: str
    route: str
    icon: str
    key: str = ""
    within: frozenset[str] = frozenset()
    seen_by: Callable[[User], bool] = lambda user: True

    @property
    def address(self) -> str:
        return reverse(self.route)


@dataclass(frozen=True)
class Link:
    """A place as the bar shows it; `current` is the value of `aria-current`."""

    place: Place
    current: str


# In the bar itself; then behind "More". On a phone all stand in one menu.
MAIN = (
    Place("Fleet", "dashboard:fleet", "play", "f", frozenset({"project", "machine", "console", "many"})),
    Place("Needs you", "dashboard:needs", "warn", "n"),
    Place("Spawn", "dashboard:spawn", "plus"),
    Place(
        "Checkpoints",
        "dashboard:trees",
        "checkpoint",
        "c",
        frozenset({"tree", "checkpoint", "compare", "rules", "prune", "branch", "verify", "restore_file"}),
    ),
    Place(
        "Budgets",
        "dashboard:budgets",
        "coin",
        "b",
        frozenset(
            {"budget", "budget_history", "ledger", "limit", "limit_new", "limit_lift", "ask", "transfer"}
        ),
    ),
    Place("Logs", "dashboard:logs", "file", "l"),
    Place("Audit", "dashboard:audit", "key", "a", frozenset({"project_audit"})),
)
MORE = (
    Place("Operations", "dashboard:operations", "list", "o"),
    Place("People", "dashboard:people", "people", within=frozenset({"members", "member_remove"})),
    Place("Prices", "dashboard:prices", "coin"),
    Place("API", "dashboard:api", "terminal", within=frozenset({"api_tag"})),
    Place("First steps", "dashboard:start", "check"),
    Place("Wall screens", "dashboard:screens", "screen"),
    Place("Proxmox", "dashboard:settings", "gear", seen_by=diagnoses.may_see),
    Place("Styleguide", "dashboard:styleguide", "info", seen_by=lambda user: user.administers),
    Place("Administration", "admin:index", "key", seen_by=lambda user: user.is_staff),
)
OWN = (
    Place("Your account", "dashboard:account", "person"),
    Place("API tokens", "dashboard:tokens", "terminal", within=frozenset({"token_rotate", "token_revoke"})),
    Place("Appearance", "dashboard:appearance", "auto"),
)


def links(places: tuple[Place, ...], request: HttpRequest) -> list[Link]:
    """Those of `places` that this person may see, the current one marked."""
    user = request.user
    if not isinstance(user, User):
        return []
    match = request.resolver_match
    here = match.url_name if match and match.app_name == "dashboard" else ""
    return [Link(place, _current(place, here or "")) for place in places if place.seen_by(user)]


def _current(place: Place, here: str) -> str:
    if place.route == f"dashboard:{here}":
        return "page"
    return "true" if here in place.within else ""
