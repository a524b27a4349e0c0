"""Budgets, the ledger and what moves limits, in the Django admin: to be read. Changes go through the actions."""

from django.contrib import admin

from budgets.models import (
    Budget,
    BudgetRequest,
    Deal,
    LedgerEntry,
    Pool,
    PriceOverride,
    Rerating,
    Reservation,
    Transfer,
    Window,
)
from events.admin import ReadOnly


@admin.register(Budget)
class BudgetAdmin(ReadOnly):
    list_display = ["scope", "resource", "period", "limit", "carry_over", "removed_at"]
    list_filter = ["resource", "period", "project"]


@admin.register(Window)
class WindowAdmin(ReadOnly):
    list_display = ["budget", "starts_at", "limit", "reserved", "spent", "overrun", "exhausted_at"]
    list_filter = ["resource"]
    list_select_related = ["budget"]


@admin.register(Reservation)
class ReservationAdmin(ReadOnly):
    list_display = ["key", "project", "state", "label", "units", "cost_micros", "created_at", "expires_at"]
    list_filter = ["state", "project"]


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnly):
    list_display = ["key", "kind", "micros", "label", "price_version", "created_at"]
    list_filter = ["kind"]
    show_full_result_count = False  # millions


@admin.register(Transfer)
class TransferAdmin(ReadOnly):
    list_display = ["giver", "taker", "resource", "period", "amount", "state", "created_at"]
    list_filter = ["state", "resource"]
    list_select_related = ["giver", "taker"]


@admin.register(BudgetRequest)
class BudgetRequestAdmin(ReadOnly):
    list_display = ["budget", "amount", "state", "asked_by", "automatic", "granted", "created_at"]
    list_filter = ["state", "project"]
    list_select_related = ["budget", "asked_by"]


@admin.register(Pool)
class PoolAdmin(ReadOnly):
    list_display = ["name", "amount", "timezone", "min_percent", "max_percent", "adjust"]


@admin.register(Deal)
class DealAdmin(ReadOnly):
    list_display = ["pool", "day", "created_at"]
    list_filter = ["pool"]
    list_select_related = ["pool"]


@admin.register(PriceOverride)
class PriceOverrideAdmin(ReadOnly):
    list_display = ["id", "model", "prices", "withdrawn", "actor", "created_at"]
    search_fields = ["model"]


@admin.register(Rerating)
class ReratingAdmin(ReadOnly):
    list_display = ["id", "project", "since", "until", "price_version", "entries", "micros", "actor"]
    list_select_related = ["project"]
