"""Budgets, the ledger and what moves limits, in the Django admin, to be read. Limits can be lifted; pages do more."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from budgets import actions
from budgets.models import (
    Breaker,
    Budget,
    BudgetRequest,
    Deal,
    LedgerEntry,
    Pool,
    PoolMember,
    PriceOverride,
    Rerating,
    Reservation,
    Transfer,
    Window,
)
from projects.permissions import acting, require, require_administration
from projects.roles import Right
from projects.staff import OfProject, ReadOnly, Small, of_project


@admin.register(Budget)
class BudgetAdmin(ReadOnly):
    list_display = ["scope", "resource", "period", "limit", "carry_over", "removed_at"]
    list_filter = [OfProject, "resource", "period"]
    list_select_related = ["project"]
    search_fields = ["holder"]
    ordering = ["-id"]
    actions = ["lift"]

    def view_on_site(self, budget: Budget) -> str:
        if budget.project is None:
            return reverse("dashboard:budgets")
        return reverse("dashboard:budget", args=[budget.project.slug])

    @admin.action(description="Lift the limit", permissions=["act"])
    def lift(self, request: HttpRequest, chosen: QuerySet[Budget]) -> HttpResponse | None:
        by = acting(request.user)

        def act(budget: Budget) -> None:
            if budget.project is None:
                require_administration(by)
            else:
                require(by, Right.BUDGETS, budget.project)
            actions.remove_limit(budget, by=by)

        warning = "Nothing holds back what draws on these budgets then, but other limits; paused machines may go on."
        return self.carry_out(request, chosen, act, done="Lifted", warning=warning)


@admin.register(Window)
class WindowAdmin(ReadOnly):
    project_path = "budget__project"
    list_display = ["budget", "starts_at", "limit", "reserved", "spent", "overrun", "exhausted_at"]
    list_filter = [of_project("budget__project")]
    list_select_related = ["budget"]
    search_fields = ["holder", "budget__holder"]
    ordering = ["-id"]


@admin.register(Reservation)
class ReservationAdmin(ReadOnly):
    """Those that are held; the others are found by their key."""

    list_display = ["key", "project", "state", "label", "units", "cost_micros", "created_at", "expires_at"]
    list_filter = [OfProject]
    list_select_related = ["project"]
    search_fields = ["key", "id"]
    ordering = ["expires_at"]

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        if not search_term:
            queryset = queryset.filter(state=Reservation.State.HELD)
        return super().get_search_results(request, queryset, search_term)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnly):
    list_display = ["id", "key", "kind", "micros", "label", "price_version", "created_at"]
    list_filter = [OfProject]
    search_fields = ["id", "machine_id"]
    ordering = ["-id"]


@admin.register(Transfer)
class TransferAdmin(ReadOnly):
    project_path = "giver"
    list_display = ["giver", "taker", "resource", "period", "amount", "state", "created_at"]
    list_filter = [of_project("giver"), "state", "resource"]
    list_select_related = ["giver", "taker"]


@admin.register(BudgetRequest)
class BudgetRequestAdmin(ReadOnly):
    list_display = ["budget", "amount", "state", "asked_by", "automatic", "granted", "created_at"]
    list_filter = [OfProject, "state"]
    list_select_related = ["budget", "asked_by"]


@admin.register(Breaker)
class BreakerAdmin(Small):
    list_display = ["project", "state", "enabled", "factor", "since", "until", "sentence"]
    list_filter = ["state"]
    list_select_related = ["project"]


@admin.register(Pool)
class PoolAdmin(Small):
    project_path = ""
    list_display = ["name", "amount", "timezone", "min_percent", "max_percent", "adjust"]


@admin.register(PoolMember)
class PoolMemberAdmin(Small):
    list_display = ["pool", "project", "budget", "created_at", "left_at"]
    list_select_related = ["pool", "project", "budget"]


@admin.register(Deal)
class DealAdmin(ReadOnly):
    project_path = ""
    list_display = ["pool", "day", "created_at"]
    list_filter = ["pool"]
    list_select_related = ["pool"]


@admin.register(PriceOverride)
class PriceOverrideAdmin(Small):
    project_path = ""
    list_display = ["id", "model", "prices", "withdrawn", "actor", "created_at"]
    search_fields = ["^model"]

    def view_on_site(self, _: PriceOverride) -> str:
        return reverse("dashboard:prices")


@admin.register(Rerating)
class ReratingAdmin(Small):
    list_display = ["id", "project", "since", "until", "price_version", "entries", "micros", "actor"]
    list_select_related = ["project"]
