"""The tables of `benchmarks.gateway`."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from benchmarks.overshoot import LIMIT_TOKENS, Overrun

if TYPE_CHECKING:
    from benchmarks.gateway import Figures

    Measured = Mapping[str, Mapping[str, Figures]]


def tables(measured: "Measured", overruns: Iterable[Overrun], missing: Mapping[str, str]) -> str:
    """All that was found, as text."""
    parts = [_cpu(measured), _latency(measured), _overshoot(overruns)]
    if missing:
        parts.append("\n".join(["Not measured:", *(f"  {name}: {why}" for name, why in missing.items())]))
    return "\n\n".join(parts)


def as_json(
    measured: "Measured", overruns: Iterable[Overrun], missing: Mapping[str, str], **more: object
) -> str:
    """The same on one line."""
    cells = {row: {cell: asdict(each) for cell, each in of.items()} for row, of in measured.items()}
    found = {"cells": cells, "overshoot": [asdict(each) for each in overruns], "missing": missing}
    return json.dumps(more | found)


def _cpu(measured: "Measured") -> str:
    lines = [f"{'CPU per call':52}{'CPU-ms':>10}{'calls/CPU-s':>13}{'calls/s':>10}{'failed':>8}  of which"]
    for cell in _cells(measured):
        for row, of in measured.items():
            figures = of[cell]
            if total := sum(figures.cpu_ms.values()):
                parts = ", ".join(f"{part} {value:.2f}" for part, value in figures.cpu_ms.items())
                lines.append(
                    f"{cell:24}{row:28}{total:>10.2f}{1000 / total:>13.0f}"
                    f"{figures.calls_per_second:>10.0f}{figures.failed:>8}  {parts}"
                )
    return "\n".join(lines)


def _latency(measured: "Measured") -> str:
    head = f"{'Latency, ms':52}{'p50':>10}{'p95':>10}{'first p50':>12}{'first p95':>12}"
    lines = [f"{head}   added to direct: p50, p95, first p50, first p95"]
    for cell in _cells(measured):
        for row, of in measured.items():
            figures = of[cell]
            base = measured.get(f"direct {row.split()[1]}", {}).get(cell)
            line = (
                f"{cell:24}{row:28}{figures.p50_ms:>10.1f}{figures.p95_ms:>10.1f}"
                f"{figures.first_p50_ms:>12.1f}{figures.first_p95_ms:>12.1f}"
            )
            lines.append(line + (_added(figures, base) if base and base is not figures else ""))
    return "\n".join(lines)


def _added(figures: "Figures", base: "Figures") -> str:
    names = ("p50_ms", "p95_ms", "first_p50_ms", "first_p95_ms")
    return "   " + "".join(f"{getattr(figures, name) - getattr(base, name):>+10.1f}" for name in names)


def _overshoot(overruns: Iterable[Overrun]) -> str:
    head = f"{f'Budget of {LIMIT_TOKENS:,} tokens, 100 calls at once':52}{'billed':>10}{'overshoot':>11}"
    lines = [f"{head}{'used':>8}{'answered':>10}{'refused':>9}{'seconds':>9}"]
    for each in overruns:
        lines.append(
            f"{'estimates ' + each.case:24}{each.contender:28}{each.billed_tokens:>10}{each.overshoot:>11.1%}"
            f"{min(each.billed_tokens / LIMIT_TOKENS, 1):>8.0%}{each.answered:>10}{each.refused:>9}{each.seconds:>9.1f}"
        )
    return "\n".join(lines)


def _cells(measured: "Measured") -> list[str]:
    return list(next(iter(measured.values()), {}))
