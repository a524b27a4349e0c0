"""In the Django admin: checkpoints, their proofs and effects, and what projects say of checkpoints, to be read.

Pins are set here; proofs are asked for a room higher up (`machines.admin`), where they are begun.
"""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from checkpoints import marks
from checkpoints.models import Checkpoint, Effect, Manifest, Rules, Verification
from projects.permissions import acting, require_operating
from projects.staff import OfProject, ReadOnly, Small, of_project


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnly):
    list_display = ["handle", "project", "kind", "standing", "why", "pinned", "name", "created_at"]
    list_filter = [OfProject, "state", "kind"]
    list_select_related = ["project", "shares"]
    search_fields = ["handle", "origin"]
    search_help_text = "A whole handle, such as m12.c3."
    ordering = ["-created_at"]
    actions = ["pin", "unpin"]

    def view_on_site(self, checkpoint: Checkpoint) -> str:
        return reverse("dashboard:checkpoint", args=[checkpoint.handle])

    @admin.action(description="Pin", permissions=["act"])
    def pin(self, request: HttpRequest, chosen: QuerySet[Checkpoint]) -> HttpResponse | None:
        return self._mark(request, chosen, pinned=True, done="Pinned")

    @admin.action(description="Unpin", permissions=["act"])
    def unpin(self, request: HttpRequest, chosen: QuerySet[Checkpoint]) -> HttpResponse | None:
        warning = "Without its pin, a checkpoint is deleted when its project's retention says so."
        return self._mark(request, chosen, pinned=False, done="Unpinned", warning=warning)

    def _mark(
        self,
        request: HttpRequest,
        chosen: QuerySet[Checkpoint],
        *,
        pinned: bool,
        done: str,
        warning: str = "",
    ) -> HttpResponse | None:
        by = acting(request.user)

        def act(checkpoint: Checkpoint) -> None:
            require_operating(by, checkpoint)
            marks.mark(checkpoint, pinned=pinned, by=by)

        return self.carry_out(request, chosen, act, done=done, warning=warning)


@admin.register(Verification)
class VerificationAdmin(ReadOnly):
    project_path = "checkpoint__project"
    list_display = ["checkpoint", "depth", "verdict", "sentence", "seconds", "asked_by", "asked_at"]
    list_filter = [of_project("checkpoint__project"), "depth", "verdict"]
    list_select_related = ["checkpoint", "asked_by"]
    search_fields = ["checkpoint__handle"]


@admin.register(Effect)
class EffectAdmin(ReadOnly):
    list_display = ["project", "origin", "call_number", "kind", "summary", "at"]
    list_filter = [OfProject, "kind"]
    list_select_related = ["project"]
    search_fields = ["origin"]
    ordering = ["-id"]


@admin.register(Manifest)
class ManifestAdmin(ReadOnly):
    """Which files states have; contents are shared by projects, and on the pages of checkpoints."""

    project_path = ""
    list_display = ["digest", "files", "size"]
    search_fields = ["digest"]
    ordering = ["digest"]


@admin.register(Rules)
class RulesAdmin(Small):
    """They are set on their page, which says first what would follow."""

    list_display = ["project", "policy", "retention", "changed_at"]
    list_select_related = ["project"]
    search_fields = ["^project__slug"]

    def view_on_site(self, rules: Rules) -> str:
        return reverse("dashboard:rules", args=[rules.project.slug])
