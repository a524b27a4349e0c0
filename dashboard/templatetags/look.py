"""Pills, icons, times and amounts in templates; the words come from `dashboard.words`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from django import template
from django.contrib.messages.storage.base import Message
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from budgets import money as exact
from budgets import sentences
from budgets.models import LedgerEntry, Window
from checkpoints.models import Checkpoint, Verification
from checkpoints.reading.tree import Node
from dashboard import look, once, undoing, words
from gateway.models import Call
from machines import printed

register = template.Library()
_CODE = (("", ""), (mark_safe("<code>"), mark_safe("</code>")))
register.simple_tag(once.field, name="once")
register.inclusion_tag("parts/undo.html", takes_context=True)(undoing.go_on)
register.filter("plain", printed.plain)
register.filter("size", words.size)
register.filter("growth", words.growth)
register.filter("tokens", words.tokens)
register.filter("price", words.price)
register.filter("milliseconds", words.milliseconds)


@register.filter
def told(sentence: object) -> SafeString:
    """A sentence for people; what it sets in `backticks` is code."""
    parts = str(sentence).split("`")
    return format_html_join(
        "", "{}{}{}", ((_CODE[at % 2][0], part, _CODE[at % 2][1]) for at, part in enumerate(parts))
    )


@register.simple_tag
def icon(name: str) -> SafeString:
    """A symbol of icons.svg. It is decoration: words beside it say the same."""
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>', static("icons.svg"), name
    )


@register.simple_tag
def pill(thing: Any, classes: str = "") -> SafeString:
    """The state of a machine, checkpoint or call: shape, word and colour."""
    looks = (
        look.CHECKPOINTS
        if isinstance(thing, Checkpoint)
        else look.CALLS
        if isinstance(thing, Call)
        else look.MACHINES
    )
    found = looks.get(thing.state, look.UNKNOWN)
    return format_html(
        '<span class="pill t-{}{} {}">{}{}</span>',
        found.tone,
        " busy" if found.busy else "",
        classes,
        icon(found.icon),
        thing.get_state_display(),
    )


@register.simple_tag
def standing(checkpoint: Checkpoint | Node, classes: str = "") -> SafeString:
    """How far a checkpoint has come, and how far it can be trusted."""
    found = look.STANDINGS.get(checkpoint.standing, look.UNKNOWN)
    return format_html(
        '<span class="pill t-{}{} {}">{}{}</span>',
        found.tone,
        " busy" if found.busy else "",
        classes,
        icon(found.icon),
        checkpoint.standing.capitalize(),
    )


@register.simple_tag
def verdict(verification: Verification) -> SafeString:
    """What a proof has found."""
    found = look.VERDICTS[verification.verdict]
    return format_html(
        '<span class="pill t-{}{}">{}{}</span>',
        found.tone,
        " busy" if found.busy else "",
        icon(found.icon),
        verification.get_verdict_display(),
    )


@register.filter
def tone(checkpoint: Checkpoint | Node) -> str:
    """The colour of a checkpoint's dot."""
    return look.STANDINGS.get(checkpoint.standing, look.UNKNOWN).tone


@register.simple_tag
def money(micros: int | None, currency: str = "USD", places: int = 2) -> SafeString:
    """Rounded to read, exact in the title."""
    amount = micros or 0
    return format_html(
        '<span class="nowrap" title="{}">{}</span>',
        exact.show(amount, currency),
        words.money(amount, currency, places),
    )


@register.simple_tag
def amount(quantity: int, resource: str, currency: str = "USD") -> SafeString:
    """A quantity of any resource: rounded to read, exact in the title."""
    return format_html(
        '<span class="nowrap" title="{}">{}</span>',
        sentences.amount(quantity, resource, currency),
        words.amount(quantity, resource, currency),
    )


@register.simple_tag
def share(percent: float) -> SafeString:
    """A bar of so many per cent; the number stands beside it."""
    bar = '<svg class="meter t-info" aria-hidden="true"><rect width="{}%" height="100%"/></svg>'
    return format_html(bar, percent)


@register.simple_tag
def entry_kind(entry: LedgerEntry) -> SafeString:
    """What kind of ledger entry it is; what deserves a second look stands out."""
    tone = look.ENTRIES.get(entry.kind, "neutral")
    return format_html('<span class="pill t-{}">{}</span>', tone, entry.get_kind_display())


@register.filter
def renews(window: Window) -> str:
    """When its next period begins, where the budget is."""
    assert window.ends_at is not None
    return words.day(window.ends_at.astimezone(ZoneInfo(window.budget.timezone)))


@register.filter
def undo(message: Message) -> dict[str, Any] | None:
    """How to take back what a message tells of: the checkpoint that was marked, and what its marks were."""
    handle, found, values = (message.extra_tags or "").partition("?")
    return {"handle": handle, "marks": parse_qsl(values, keep_blank_values=True)} if found else None


@register.filter
def at(found: Mapping[Any, Any], key: Any) -> Any:
    """The value of a variable key."""
    return found.get(key)


register.filter("resource", lambda name: words.RESOURCES[name])
register.filter("period", lambda name: words.PERIODS[name])
register.filter("trigger", lambda name: words.TRIGGERS[name])


@register.simple_tag
def ago(at: datetime | None) -> SafeString | str:
    """How long ago; it ticks."""
    return _time(at, words.ago(at), "ago") if at else "–"


@register.simple_tag
def lasting(since: datetime | None, until: datetime | None = None) -> SafeString | str:
    """How long something lasted; how long it has been lasting ticks."""
    if since is None:
        return "–"
    if until:
        return words.elapsed((until - since).total_seconds())
    return _time(since, words.elapsed((timezone.now() - since).total_seconds()), "lasting")


@register.simple_tag
def clock(at: datetime) -> SafeString:
    """The time of day, with the date where it is not today's."""
    return _time(at, words.clock(at), "")


@register.simple_tag
def stamp(at: datetime) -> SafeString:
    """Date, time and zone in full."""
    return _time(at, words.stamp(at), "")


def _time(at: datetime, text: str, tick: str) -> SafeString:
    ticking = format_html(' data-tick="{}"', tick) if tick else ""
    return format_html(
        '<time datetime="{}" title="{}"{}>{}</time>',
        at.isoformat(timespec="milliseconds"),
        words.stamp(at),
        ticking,
        text,
    )


@register.inclusion_tag("parts/meter.html")
def meter(spent: int, reserved: int, limit: int) -> dict[str, Any]:
    """A bar of what is spent and held of a limit. The numbers stand beside it."""
    whole = max(limit, spent + reserved, 1)
    used = (spent + reserved) / whole
    return {
        "spent": round(100 * spent / whole, 2),
        "held": round(100 * reserved / whole, 2),
        "tone": "bad" if used >= 0.95 else "warn" if used >= 0.75 else "ok",
    }
