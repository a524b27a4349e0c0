"""Budgets and the ledger in the Django admin: to be read. Limits are changed through `actions.change_limit`."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from budgets.models import Budget, LedgerEntry, Reservation, Window


class ReadOnly(admin.ModelAdmin[Any]):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


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
