"""What a check found: sentences for people, and the commands that mend what is wrong."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    OK = "ok"
    WARNING = "warning"  # machines run, but something is in danger or cannot be done
    MISSING = "missing"  # machines cannot run like this
    UNKNOWN = "unknown"  # it could not be asked


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `commands` mend it, in order; those for a node's shell are run there as root."""

    name: str
    status: Status
    sentence: str
    commands: tuple[str, ...] = ()
    section: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was looked at, in the order in which it is read."""

    findings: tuple[Finding, ...]

    @property
    def status(self) -> Status:
        """The worst of all."""
        found = {finding.status for finding in self.findings}
        return next((status for status in WORST_FIRST if status in found), Status.OK)

    def plain(self) -> list[dict[str, Any]]:
        """As JSON has it."""
        return [{**asdict(finding), "commands": list(finding.commands)} for finding in self.findings]

    @classmethod
    def read(cls, plain: list[dict[str, Any]]) -> "Report":
        """What `plain` has written."""
        return cls(
            tuple(
                Finding(**{**row, "status": Status(row["status"]), "commands": tuple(row["commands"])})
                for row in plain
            )
        )


WORST_FIRST = (Status.MISSING, Status.UNKNOWN, Status.WARNING, Status.OK)


def ok(name: str, sentence: str) -> Finding:
    return Finding(name, Status.OK, sentence)


def warning(name: str, sentence: str, *commands: str) -> Finding:
    return Finding(name, Status.WARNING, sentence, commands)


def missing(name: str, sentence: str, *commands: str) -> Finding:
    return Finding(name, Status.MISSING, sentence, commands)


def unknown(name: str, sentence: str, *commands: str) -> Finding:
    return Finding(name, Status.UNKNOWN, sentence, commands)


def listed(words: Iterable[str]) -> str:
    """`a, b and c`."""
    *most, last = list(words)
    return f"{', '.join(most)} and {last}" if most else last


def plural(count: int, word: str) -> str:
    """`1 node`, `3 nodes`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
