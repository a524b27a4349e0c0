"""A report for a terminal: plain text, wrapped; commands are left whole, so that they can be copied."""

import textwrap
from collections.abc import Iterator

from proxmox.diagnosis.findings import Finding, Report, Status, plural

WIDTH = 100
_MARKS = {Status.OK: "ok", Status.WARNING: "warning", Status.MISSING: "MISSING", Status.UNKNOWN: "unknown"}
_INDENT = " " * 10


def render(report: Report) -> Iterator[str]:
    """The lines of the whole report, its conclusion last."""
    section = ""
    for finding in report.findings:
        if finding.section != section:
            section = finding.section
            yield ""
            yield section
        yield from lines(finding)
    yield ""
    yield conclusion(report)


def lines(finding: Finding) -> Iterator[str]:
    """The lines of one finding."""
    yield f"  {_MARKS[finding.status]:<8}{finding.name}"
    yield from textwrap.wrap(
        finding.sentence, WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False
    )
    for command in finding.commands:
        yield f"{_INDENT}  {command}"


def conclusion(report: Report) -> str:
    """One sentence: whether machines can run, and how much there is to do."""
    counts = {status: sum(found.status == status for found in report.findings) for status in Status}
    if counts[Status.MISSING]:
        return f"Not ready: {plural(counts[Status.MISSING], 'thing')} missing."
    doubts = [
        plural(counts[status], word)
        for status, word in ((Status.WARNING, "warning"), (Status.UNKNOWN, "open question"))
        if counts[status]
    ]
    return f"Ready, with {' and '.join(doubts)}." if doubts else "Ready."
