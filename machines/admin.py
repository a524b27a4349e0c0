"""Machines in the Django admin, with what they printed and were told; what may be done to them are their verbs."""

import re
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from checkpoints.admin import CheckpointAdmin
from checkpoints.models import Checkpoint
from checkpoints.states import Depth
from machines.actions import pause, resume, terminate, verify
from machines.models import Lease, LogLine, Machine, Message, Prediction
from projects.permissions import acting, require_operating
from projects.staff import OfProject, ReadOnly

_HANDLE = re.compile(r"\bm(\d+)\b")


class OfMachines(ReadOnly):
    """Rows that belong to machines; they are looked for by handle."""

    project_path = "machine__project"
    list_select_related = ["machine"]
    search_fields = ["machine__number"]
    search_help_text = "The handle of a machine, such as m12."

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        return super().get_search_results(request, queryset, _HANDLE.sub(r"\1", search_term))


@admin.register(Machine)
class MachineAdmin(OfMachines):
    project_path = "project"
    list_display = ["handle", "project", "type", "state", "title", "created_by", "created_at", "ended_at"]
    list_filter = [OfProject, "state"]
    list_select_related = ["project", "created_by", "source"]
    search_fields = ["number"]
    actions = ["pause", "resume", "terminate"]

    def view_on_site(self, machine: Machine) -> str:
        return reverse("dashboard:machine", args=[machine.handle])

    @admin.action(description="Pause", permissions=["act"])
    def pause(self, request: HttpRequest, chosen: QuerySet[Machine]) -> HttpResponse | None:
        return self._ask(request, chosen, pause, done="Pausing")

    @admin.action(description="Resume", permissions=["act"])
    def resume(self, request: HttpRequest, chosen: QuerySet[Machine]) -> HttpResponse | None:
        return self._ask(request, chosen, resume, done="Resuming")

    @admin.action(description="Terminate", permissions=["act"])
    def terminate(self, request: HttpRequest, chosen: QuerySet[Machine]) -> HttpResponse | None:
        warning = "Their agents are stopped for good, after a last checkpoint. New machines can be branched from that."
        return self._ask(request, chosen, terminate, done="Ending", warning=warning)

    def _ask(
        self, request: HttpRequest, chosen: QuerySet[Machine], verb: Any, *, done: str, warning: str = ""
    ) -> HttpResponse | None:
        by = acting(request.user)

        def act(machine: Machine) -> None:
            require_operating(by, machine)
            verb(machine, by=by)

        return self.carry_out(request, chosen, act, done=done, warning=warning)


@admin.register(LogLine)
class LogLineAdmin(OfMachines):
    list_display = ["machine", "at", "stream", "line"]
    ordering = ["-id"]

    @admin.display(description="Text")
    def line(self, line: LogLine) -> str:
        return line.text[:200]


@admin.register(Message)
class MessageAdmin(OfMachines):
    list_display = ["machine", "created_at", "author", "state", "text"]
    ordering = ["-id"]


@admin.register(Lease)
class LeaseAdmin(OfMachines):
    list_display = ["machine", "began_at", "until", "ended_at", "limited"]
    ordering = ["-id"]


@admin.register(Prediction)
class PredictionAdmin(OfMachines):
    list_display = ["machine", "method", "neighbours", "cost_micros", "used_cost_micros", "made_at"]
    ordering = ["-machine__number"]


admin.site.unregister(Checkpoint)


@admin.register(Checkpoint)
class ProvableAdmin(CheckpointAdmin):
    """With what takes a machine's room: having them proven."""

    actions = [*CheckpointAdmin.actions, "verify"]

    @admin.action(description="Verify by content", permissions=["act"])
    def verify(self, request: HttpRequest, chosen: QuerySet[Checkpoint]) -> HttpResponse | None:
        by = acting(request.user)

        def act(checkpoint: Checkpoint) -> None:
            require_operating(by, checkpoint)
            verify(checkpoint, Depth.CONTENT, by=by)

        return self.carry_out(request, chosen, act, done="Being verified")
