"""Budgets and the ledger in the Django admin: to be read. Limits are changed through `actions.set_limit`."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from budgets.models import Budget, LedgerEntry, Reservation


class ReadOnly(admin.ModelAdmin[Any]):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Budget)
class BudgetAdmin(ReadOnly):
    list_display = ["scope", "resource", "limit", "reserved", "spent", "overrun", "exhausted_at"]
    list_filter = ["project", "resource"]


@admin.register(Reservation)
class ReservationAdmin(ReadOnly):
    list_display = ["key", "project", "state", "model", "micros", "created_at", "expires_at"]
    list_filter = ["state", "project"]


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnly):
    list_display = ["key", "project", "kind", "micros", "model", "price_version", "created_at"]
    list_filter = ["kind", "project", "model"]
