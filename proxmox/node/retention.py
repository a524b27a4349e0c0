"""Which backups of a VM a retention keeps: `keep-last=3,keep-daily=7` (pve-storage: PVE/Storage.pm)."""

import time
from collections.abc import Callable, Mapping, Sequence

from proxmox.node.errors import BadParameters

Retention = Mapping[str, int]
KEEP_ALL: Retention = {"keep-all": 1}
# Two backups that are the same to one of these are two of one hour, day, …; in the order in which they are applied.
_PERIODS = {
    "keep-last": "",
    "keep-hourly": "%Y-%m-%d %H",
    "keep-daily": "%Y-%m-%d",
    "keep-weekly": "%G-%V",
    "keep-monthly": "%Y-%m",
    "keep-yearly": "%Y",
}


def parse(text: str) -> Retention:
    """A retention from its property string. Raises `BadParameters`."""
    keep: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        if name not in {*_PERIODS, "keep-all"} or not value.isdecimal():
            raise _wrong(f"invalid format - format error\n{name}: property is not defined in schema\n")
        keep[name] = int(value)
    keeps_all = keep.pop("keep-all", 0)
    if not any(keep.values()):
        return KEEP_ALL
    if keeps_all:
        raise _wrong("invalid format - keep-all cannot be set together with other options.\n")
    return keep


def limit(keep: Retention) -> int:
    """How many backups it keeps at most; 0 when it keeps all."""
    return 0 if "keep-all" in keep else sum(keep.values())


def marked(times: Sequence[float], keep: Retention) -> list[bool]:
    """For each backup, given by its time, whether it is kept."""
    if "keep-all" in keep:
        return [True] * len(times)
    order = sorted(range(len(times)), key=lambda at: times[at], reverse=True)
    marks: dict[int, bool] = {}
    for name, period in _PERIODS.items():
        _mark(order, marks, keep.get(name, 0), _period(times, period))
    return [marks.get(at, False) for at in range(len(times))]


def _mark(order: list[int], marks: dict[int, bool], count: int, period_of: Callable[[int], str]) -> None:
    """Keep the newest of each of the `count` newest periods that none is kept of yet."""
    covered = {period_of(at) for at, kept in marks.items() if kept}
    fresh: set[str] = set()
    for at in order if count else ():
        period = period_of(at)
        if at in marks or period in covered:
            continue
        if period not in fresh and len(fresh) >= count:
            return
        marks[at] = period not in fresh
        fresh.add(period)


def _period(times: Sequence[float], form: str) -> Callable[[int], str]:
    return lambda at: time.strftime(form, time.localtime(times[at])) if form else str(times[at])


def _wrong(text: str) -> BadParameters:
    return BadParameters({"prune-backups": text})
