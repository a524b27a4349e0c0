"""Operations in the Django admin. Workers and the watcher write them; one that waits for somebody can be given up."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from operations import actions
from operations.models import Operation
from projects.permissions import acting, require_operating
from projects.staff import OfProject, ReadOnly


@admin.register(Operation)
class OperationAdmin(ReadOnly):
    list_display = ["verb", "subject", "project", "status", "step", "attempts", "created_at", "finished_at"]
    list_filter = [OfProject, "status"]
    list_select_related = ["project"]
    search_fields = ["id", "subject"]
    search_help_text = "A whole id, or a subject such as machine:<uuid>."
    ordering = ["-created_at"]
    actions = ["give_up"]

    @admin.action(description="Give up", permissions=["act"])
    def give_up(self, request: HttpRequest, chosen: QuerySet[Operation]) -> HttpResponse | None:
        by = acting(request.user)

        def act(operation: Operation) -> None:
            require_operating(by, operation)
            actions.give_up(operation, by=by)

        warning = "They are not tried again: each fails, and what it was begun for ends as its plan has it."
        return self.carry_out(request, chosen, act, done="Given up", warning=warning)
