"""The burn-down of a budget as the geometry of an SVG: what was used, what is held, what is ahead, and the limit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from budgets.burn import Burn
from budgets.forecast import Forecast
from dashboard import words
from dashboard.axes import Scale, Tick, marks, onto, points

WIDTH, HEIGHT = 860, 260
LEFT, RIGHT, TOP, BOTTOM = 76, 846, 18, 222
HELD_WIDTH = 14  # of the step that shows what is held
POINTS_MAX = 240
# How far apart the marks of the time axis may be; the first that gives no more than so many is taken.
STEPS = [timedelta(minutes=one) for one in (5, 10, 15, 30)] + [
    timedelta(hours=one) for one in (1, 2, 3, 6, 12, 24, 48, 24 * 7, 24 * 14, 24 * 28, 24 * 84)
]
MARKS_MAX = 8


@dataclass(frozen=True)
class Row:
    """A row of the chart's table."""

    at: datetime
    consumed: int


@dataclass(frozen=True)
class Chart:
    """Everything in units of the viewBox; point lists are as `points` attributes have them."""

    title: str
    amounts: list[Tick]
    times: list[Tick]
    spent: str
    now: float
    now_text: str
    limit: float
    limit_text: str
    held: tuple[float, float, float, float] | None  # x, y, width, height
    middle: str
    band: str
    rows: list[Row]
    zone: str


def draw(burn: Burn, sentence: str) -> Chart:
    """`sentence` says what the chart shows to those who cannot see it."""
    window = burn.window
    zone, currency = ZoneInfo(window.budget.timezone), window.budget.currency
    line = _thinned(burn.line)
    ahead = burn.forecast if isinstance(burn.forecast, Forecast) else None
    begin, end = line[0][0], burn.until
    tops = [window.limit, line[-1][1] + window.reserved, *([ahead.consumed.high] if ahead else [])]
    step, ceiling = marks(max(tops), window.resource)
    x = onto(begin.timestamp(), end.timestamp(), LEFT, RIGHT)
    y = onto(0, ceiling, BOTTOM, TOP)
    now, consumed = line[-1]
    return Chart(
        title=sentence,
        amounts=[
            Tick(y(value), words.amount(value, window.resource, currency))
            for value in range(0, ceiling + 1, step)
        ],
        times=[Tick(x(at.timestamp()), text) for at, text in _times(begin, end, zone)],
        spent=points((x(at.timestamp()), y(value)) for at, value in line),
        now=x(now.timestamp()),
        now_text=words.amount(consumed, window.resource, currency),
        limit=y(window.limit),
        limit_text=words.amount(window.limit, window.resource, currency),
        held=_held(x(now.timestamp()), y, consumed, window.reserved),
        middle=_middle(ahead, x, y),
        band=_band(ahead, x, y),
        rows=[Row(at.astimezone(zone), value) for at, value in line[:: max(1, len(line) // 30)]],
        zone=str(zone),
    )


def _times(begin: datetime, end: datetime, zone: ZoneInfo) -> list[tuple[datetime, str]]:
    step = next((one for one in STEPS if (end - begin) / one <= MARKS_MAX), STEPS[-1])
    pattern = "%H:%M" if step < timedelta(days=1) else "%-d %b"
    local = begin.astimezone(zone)
    at = local.replace(hour=0, minute=0, second=0, microsecond=0)
    found: list[tuple[datetime, str]] = []
    while at <= end.astimezone(zone):
        if at >= local:
            found.append((at, f"{at:{pattern}}"))
        at += step
    return found


def _thinned(line: list[tuple[datetime, int]]) -> list[tuple[datetime, int]]:
    """Fewer points, the last of them kept."""
    every = -(-len(line) // POINTS_MAX)
    return [*line[:-1:every], line[-1]]


def _held(x: float, y: Scale, consumed: int, reserved: int) -> tuple[float, float, float, float] | None:
    if not reserved:
        return None
    top = y(consumed + reserved)
    return x, top, HELD_WIDTH, round(max(y(consumed) - top, 1), 1)


def _middle(ahead: Forecast | None, x: Scale, y: Scale) -> str:
    if ahead is None:
        return ""
    return points((x(mark.at.timestamp()), y(mark.consumed.middle)) for mark in ahead.marks)


def _band(ahead: Forecast | None, x: Scale, y: Scale) -> str:
    if ahead is None:
        return ""
    upper = [(x(mark.at.timestamp()), y(mark.consumed.high)) for mark in ahead.marks]
    lower = [(x(mark.at.timestamp()), y(mark.consumed.low)) for mark in ahead.marks]
    return points([*upper, *reversed(lower)])
