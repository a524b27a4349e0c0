"""Ledger entries as the past would have left them."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from budgets.models import LedgerEntry, Window
from projects.models import Project


def entry(
    project: Project, at: datetime, micros: int = 1000, *, machine_id: UUID | None = None, **also: Any
) -> LedgerEntry:
    """One call, not saved: 900 tokens read, 4100 from the cache, 400 written."""
    values = {
        "kind": LedgerEntry.Kind.USAGE, "label": "claude-sonnet-4-5", "price_version": "test", "calls": 1,
        "input_tokens": 900, "cached_tokens": 4100, "output_tokens": 400, "windows": [], "amounts": [],
    }  # fmt: skip
    return LedgerEntry(
        key=f"call:{uuid4()}/usage", month=at.date().replace(day=1), project=project, machine_id=machine_id,
        micros=micros, created_at=at, **values | also,
    )  # fmt: skip


def charged(window: Window, at: datetime, micros: int, **also: Any) -> LedgerEntry:
    """The same, charged to that balance of money, which has to have it spent already; not saved."""
    assert window.budget.project is not None
    return entry(window.budget.project, at, micros, windows=[window.pk], amounts=[micros], **also)
