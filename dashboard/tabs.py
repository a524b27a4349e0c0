"""The views of a machine's page, and the context of each. The scrubber's moment holds on all of them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.contrib.staticfiles import finders
from django.templatetags.static import static

from checkpoints.models import Checkpoint
from dashboard import checkpoint, history, machine, scrubber, series, timeline, waterfall
from machines.models import Machine
from projects.models import User
from projects.roles import Right

UPLOT = "vendor/uplot/uPlot.esm.js"
TABS = {
    "now": "Now",
    "timeline": "Timeline",
    "checkpoints": "Checkpoints",
    "files": "Files",
    "cost": "Cost",
    "events": "Events",
}


def chosen(asked: str) -> str:
    """The tab of that name; the first for any other."""
    return asked if asked in TABS else "now"


def context(
    tab: str, found: Machine, user: User, query: Mapping[str, str], shown: Checkpoint | None
) -> dict[str, Any]:
    """Of one tab, at the checkpoint that is `shown`, or now. The head comes with it."""
    head = machine.head(found, user)
    make = _TABS[tab]
    return {"tab": tab, "tabs": TABS, **head, **make(found, user, query, shown, head)}


Head = dict[str, Any]


def _now(found: Machine, user: User, query: Mapping[str, str], shown: Checkpoint | None, head: Head) -> Head:
    made = machine.now(found, user, operable=head["operable"])
    if shown:
        return made | scrubber.past(found, shown)
    run = query.get("span") == "run"
    return made | {"chart": series.of(found, run=run), "whole_run": run, "uplot": _uplot()}


def _timeline(
    found: Machine, user: User, query: Mapping[str, str], shown: Checkpoint | None, head: Head
) -> Head:
    before = timeline.until(found, query.get("before", ""), _moment(shown))
    spans, older = timeline.of(found, before)
    compact = query.get("view") == "compact"
    fall = waterfall.draw(spans, compact=compact)
    return {"fall": fall, "compact": compact, "older": older, "newer": "before" in query}


def _checkpoints(
    found: Machine, user: User, query: Mapping[str, str], shown: Checkpoint | None, head: Head
) -> Head:
    limit = None if "every" in query else machine.CHECKPOINTS_SHOWN
    return machine.line(found, operable=head["operable"], shown=limit)


def _files(
    found: Machine, user: User, query: Mapping[str, str], shown: Checkpoint | None, head: Head
) -> Head:
    kept = shown or found.present
    return {"kept": kept, "listing": checkpoint.listing(kept) if kept else None}


def _cost(found: Machine, user: User, query: Mapping[str, str], shown: Checkpoint | None, head: Head) -> Head:
    until = scrubber.until(shown) if shown else None
    sums = machine.totals(found, until)
    return {"totals": sums, **machine.spent(found, user, sums, until)}


def _events(
    found: Machine, user: User, query: Mapping[str, str], shown: Checkpoint | None, head: Head
) -> Head:
    told, more = history.of(found, before=query.get("before", ""), until=_moment(shown))
    audits = user.has_perm(f"projects.{Right.READ_AUDIT}", found.project)
    return {"events": told, "events_before": more, "audits": audits}


_TABS: dict[str, Callable[..., Head]] = {
    "now": _now,
    "timeline": _timeline,
    "checkpoints": _checkpoints,
    "files": _files,
    "cost": _cost,
    "events": _events,
}


def _moment(shown: Checkpoint | None) -> datetime | None:
    return shown.created_at if shown else None


def _uplot() -> str:
    """Where the charts' library is served; "" when it was not fetched, or not collected since."""
    if not finders.find(UPLOT):
        return ""
    try:
        return static(UPLOT)
    except ValueError:
        return ""
