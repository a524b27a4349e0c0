"""The views of a machine's page, and the context of each. The scrubber's moment holds on all of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.staticfiles import finders
from django.templatetags.static import static

from checkpoints.models import Checkpoint
from dashboard import checkpoint, history, logs, machine, scrubber, series, timeline, waterfall
from dashboard.scrubber import Scrubber
from machines.models import Machine
from projects.models import User

Context = dict[str, Any]

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


@dataclass(frozen=True)
class Asked:
    """What somebody looks at: the machine now, or at one of its checkpoints. `whole`: as a page, with its log."""

    machine: Machine
    user: User
    query: Mapping[str, str]
    scrubbing: Scrubber | None
    whole: bool

    @property
    def shown(self) -> Checkpoint | None:
        return self.scrubbing.shown if self.scrubbing else None

    @property
    def count(self) -> int:
        """Of its checkpoints."""
        return self.scrubbing.count if self.scrubbing else 0

    @property
    def moment(self) -> datetime | None:
        return self.shown.created_at if self.shown else None


def context(tab: str, asked: Asked) -> Context:
    """Of one tab. The head comes with it."""
    head = machine.head(asked.machine, asked.user)
    return {"tab": tab, "tabs": TABS, **head, **_TABS[tab](asked, head)}


def _now(asked: Asked, head: Context) -> Context:
    found = asked.machine
    if asked.shown:
        doing = machine.under_way(found, operable=head["operable"], count=asked.count)
        return doing | scrubber.past(found, asked.shown)
    printed = logs.card(found, asked.query) if asked.whole else {}
    made = machine.now(
        found,
        asked.user,
        head["totals"],
        operable=head["operable"],
        count=asked.count,
        log=printed.get("log"),
    )
    run = asked.query.get("span") == "run"
    return made | printed | {"chart": series.of(found, run=run), "whole_run": run, "uplot": _uplot()}


def _timeline(asked: Asked, head: Context) -> Context:
    before = timeline.until(asked.query.get("before", ""), asked.moment)
    spans, older = timeline.of(asked.machine, before)
    compact = asked.query.get("view") == "compact"
    fall = waterfall.draw(spans, compact=compact)
    return {"fall": fall, "compact": compact, "older": older, "newer": "before" in asked.query}


def _checkpoints(asked: Asked, head: Context) -> Context:
    limit = None if "every" in asked.query else machine.CHECKPOINTS_SHOWN
    return machine.line(asked.machine, operable=head["operable"], shown=limit, count=asked.count)


def _files(asked: Asked, head: Context) -> Context:
    kept = asked.shown or asked.machine.present
    return {"kept": kept, "listing": checkpoint.listing(kept) if kept else None}


def _cost(asked: Asked, head: Context) -> Context:
    until = scrubber.until(asked.shown) if asked.shown else None
    sums = machine.totals(asked.machine, until) if until else head["totals"]
    return {"totals": sums, **machine.spent(asked.machine, sums, until)}


def _events(asked: Asked, head: Context) -> Context:
    told, more = history.of(asked.machine, before=asked.query.get("before", ""), until=asked.moment)
    return {"events": told, "events_before": more}


_TABS: dict[str, Callable[[Asked, Context], Context]] = {
    "now": _now,
    "timeline": _timeline,
    "checkpoints": _checkpoints,
    "files": _files,
    "cost": _cost,
    "events": _events,
}


def _uplot() -> str:
    """Where the charts' library is served; "" when it was not fetched, or not collected since."""
    if not finders.find(UPLOT):
        return ""
    try:
        return static(UPLOT)
    except ValueError:
        return ""
