"""In the Django admin: projects with their members, tokens, invitations; and events, whose room knows no projects."""

from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html_join

from events.models import Event, Head
from projects import actions, invitations, members, tokens
from projects.models import ApiToken, Invitation, JwtFamily, Project, User
from projects.permissions import acting, require
from projects.roles import Right, Role
from projects.staff import OfProject, ReadOnly, Small, of_project

OUT = "out"


class ProjectForm(forms.ModelForm[Project]):
    """Some of a project's settings; and one member at a time, who is let in, given another role, or taken out."""

    member = forms.CharField(
        required=False,
        max_length=160,
        help_text="The name of a user, or “group:” and that of a group. Whoever has no account is invited instead.",
    )
    role = forms.ChoiceField(
        required=False, choices=[("", "—"), *Role.choices, (OUT, "no member any more")], initial=""
    )

    class Meta:
        model = Project
        fields = ["greediness", "hub"]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if bool(cleaned.get("member")) != bool(cleaned.get("role")):
            raise forms.ValidationError("Say both who and which role, or neither.")
        return cleaned


@admin.register(Project)
class ProjectAdmin(Small):
    form = ProjectForm
    project_path = "pk"
    list_display = ["slug", "name", "hub", "greediness", "machine_role", "created_at"]
    search_fields = ["^slug", "^name"]
    readonly_fields = ["slug", "name", "currency", "machine_role", "created_at", "members"]
    fields = [*readonly_fields, "greediness", "hub", "member", "role"]

    def view_on_site(self, project: Project) -> str:
        return reverse("dashboard:budget", args=[project.slug])

    def has_change_permission(self, request: HttpRequest, obj: Project | None = None) -> bool:
        return obj is not None and request.user.has_perm(f"projects.{Right.MANAGE}", obj)

    @admin.display(description="Members")
    def members(self, project: Project) -> str:
        rows = ((one.name, one.role) for one in members.of(project))
        return format_html_join("", "<div>{}: {}</div>", rows) or "none"

    def save_model(self, request: HttpRequest, obj: Project, form: Any, change: bool) -> None:
        """What is refused is said, and the rest is done."""
        project, by = Project.objects.get(pk=obj.pk), acting(request.user)
        asked = {name: form.cleaned_data[name] for name in form.changed_data}
        if "greediness" in asked:
            self.does(
                request, partial(actions.set_greediness, greediness=asked["greediness"], by=by), project
            )
        if "hub" in asked:
            self.does(request, partial(actions.set_hub, hub=asked["hub"], by=by), project)
        if "member" in asked:
            settle = partial(_settle, name=asked["member"].strip(), role=asked["role"], by=by)
            self.does(request, settle, project)

    def log_change(self, request: HttpRequest, obj: Project, message: Any) -> Any:
        """The actions have recorded what became of it."""


def _settle(project: Project, *, name: str, role: str, by: User) -> None:
    if role == OUT:
        members.remove(project, name, by=by)
    else:
        members.set_role(project, name, Role(role), by=by)


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnly):
    """Everybody's, as for every administrator; what ends one, ends those that it minted."""

    project_path = ""
    list_display = [
        "name", "user", "prefix", "state", "scopes", "project", "expires_at", "last_used_at", "last_used_ip",
    ]  # fmt: skip
    list_filter = [OfProject, "expires_at", "revoked_at"]
    list_select_related = ["user", "project"]
    search_fields = ["user__username", "prefix", "name"]
    exclude = ["digest"]
    ordering = ["-pk"]
    actions = ["revoke"]

    @admin.action(description="Revoke", permissions=["act"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[ApiToken]) -> HttpResponse | None:
        by = acting(request.user)
        return self.carry_out(
            request,
            chosen,
            lambda token: tokens.revoke(token, by=by),
            done="Revoked",
            warning="Programs that use these tokens, or tokens that were made with them, are refused at once. "
            "A revoked token cannot be had back.",
        )


@admin.register(JwtFamily)
class JwtFamilyAdmin(ReadOnly):
    project_path = ""
    list_display = ["token", "created_at", "expires_at", "revoked_at"]
    list_filter = ["created_at", "revoked_at"]
    list_select_related = ["token"]
    search_fields = ["token__user__username", "token__prefix"]
    exclude = ["refresh_id"]
    ordering = ["-created_at"]


@admin.register(Invitation)
class InvitationAdmin(ReadOnly):
    list_display = ["project", "role", "email", "note", "state", "invited_by", "created_at", "accepted_by"]
    list_filter = [OfProject, "role", "created_at"]
    list_select_related = ["project", "invited_by", "accepted_by"]
    search_fields = ["email", "invited_by__username"]
    exclude = ["digest"]
    actions = ["revoke"]

    @admin.action(description="Take back", permissions=["act"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[Invitation]) -> HttpResponse | None:
        by = acting(request.user)

        def take_back(invitation: Invitation) -> None:
            require(by, Right.MANAGE, invitation.project)
            invitations.revoke(invitation, by=by)

        return self.carry_out(request, chosen, take_back, done="Taken back")


@admin.register(Event)
class EventAdmin(ReadOnly):
    """The page of the audit trail can search more; here are the rows as they are."""

    project_path = "project_id"
    right = Right.READ_AUDIT  # they say from where somebody came
    list_display = ["at", "kind", "subject", "actor", "interface", "token", "address", "request_id"]
    list_filter = [of_project("project_id"), "at"]
    search_fields = ["kind", "subject", "actor", "request_id"]
    search_help_text = "A whole kind, subject, actor or request id."


@admin.register(Head)
class HeadAdmin(ReadOnly):
    """Signed heads of the chain of events."""

    project_path = ""
    list_display = ["position", "digest", "signed_at", "key"]
    search_fields = ["position"]
    ordering = ["-pk"]
