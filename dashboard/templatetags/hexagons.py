"""The hexagons of fleet maps. They are put together here, because a template takes ten times as long for hundreds."""

from collections.abc import Iterable

from django import template
from django.urls import reverse
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from dashboard.fleet.picture import Hexagon
from dashboard.wall.hexagons import Cell

register = template.Library()


@register.simple_tag
def hexagons(column: Iterable[Hexagon]) -> SafeString:
    """Each leads to its machine."""
    before, _, after = reverse("dashboard:machine", args=["m0"]).partition("m0")
    # Handles, looks and places are ours, and numbers.
    drawn = (
        f'<a href="{before}{hex.handle}{after}" tabindex="-1"><title>{escape(hex.title)}</title>'
        f'<use href="#hex-{hex.look}" x="{hex.x}" y="{hex.y}"/></a>'
        for hex in column
    )
    return mark_safe("".join(drawn))


@register.simple_tag
def cells(drawn: Iterable[Cell], place: int) -> SafeString:
    """Those of a wall; `place` tells its looks from those of the same block in another view."""
    return mark_safe(
        "".join(f'<use href="#hex-{place}-{one.look}" x="{one.x}" y="{one.y}"/>' for one in drawn)
    )
