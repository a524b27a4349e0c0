"""In the Django admin: users and groups. Administrators see them; who administers, superusers alone decide.

What allauth would show there is not for editing: providers come from the environment, factors are their owners'.
"""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from accounts import actions, standing
from events import actions as events
from projects.models import User
from projects.permissions import acting
from projects.staff import ReadOnly, Small

for model in (EmailAddress, Authenticator, SocialAccount, SocialApp, SocialToken, Group):
    if admin.site.is_registered(model):
        admin.site.unregister(model)


class ForSuperusers(ReadOnly):
    """Everybody who administers may look; superusers may change, and it is recorded what."""

    project_path = ""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._rules(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._rules(request)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        before = type(obj)._default_manager.filter(pk=obj.pk).first()
        request.before = _facts(before) if before else {}  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        before, after = request.before, _facts(form.instance)  # type: ignore[attr-defined]
        changed = [name for name in after if after[name] != before.get(name)]
        if changed:
            kind, key = form.instance._meta.model_name, form.instance.pk
            events.record(
                f"{kind}.{'changed' if change else 'added'}",
                subject=f"{kind}:{key}",
                by=acting(request.user).username,
                before={name: before.get(name) for name in changed},
                after={name: after[name] for name in changed},
            )

    def _rules(self, request: HttpRequest) -> bool:
        return acting(request.user).is_superuser and self.has_view_permission(request)


def _facts(row: User | Group) -> dict[str, Any]:
    """What an event tells of it."""
    if isinstance(row, Group):
        return {"name": row.name, "permissions": sorted(row.permissions.values_list("codename", flat=True))}
    names = ("username", "email", "first_name", "last_name", "kind", "is_staff", "is_superuser")
    groups = sorted(row.groups.values_list("name", flat=True))
    rights = sorted(row.user_permissions.values_list("codename", flat=True))
    return {**{name: getattr(row, name) for name in names}, "groups": groups, "rights": rights}


@admin.register(User)
class PeopleAdmin(ForSuperusers, UserAdmin):  # type: ignore[type-arg]
    list_display = ["username", "kind", "email", "is_active", "is_staff", "is_superuser", "last_login"]
    list_filter = ["kind", "is_active", "is_staff", "is_superuser"]
    search_fields = ["username", "email"]
    ordering = ["username"]
    readonly_fields = ["is_active", "last_login", "date_joined", "sessions"]
    fieldsets = [
        (None, {"fields": ["username", "password", "kind", "is_active", "sessions"]}),
        ("Person", {"fields": ["first_name", "last_name", "email"]}),
        ("The whole system", {"fields": ["is_staff", "is_superuser", "groups"]}),
        ("When", {"fields": ["last_login", "date_joined"]}),
    ]
    filter_horizontal = ["groups"]
    actions = ["deactivate", "activate", "sign_out", "forget_factors"]

    @admin.display(description="Signed in")
    def sessions(self, user: User) -> str:
        count = actions.sessions(user).count()
        return f"in {count} browsers" if count != 1 else "in one browser"

    @admin.action(description="Deactivate", permissions=["act"])
    def deactivate(self, request: HttpRequest, chosen: QuerySet[User]) -> HttpResponse | None:
        return self._to_each(
            request,
            chosen,
            standing.deactivate,
            done="Deactivated",
            warning="They are signed out everywhere, and their API tokens are revoked for good. Their machines go on.",
        )

    @admin.action(description="Activate again", permissions=["act"])
    def activate(self, request: HttpRequest, chosen: QuerySet[User]) -> HttpResponse | None:
        return self._to_each(request, chosen, standing.activate, done="Active again")

    @admin.action(description="Sign out everywhere", permissions=["act"])
    def sign_out(self, request: HttpRequest, chosen: QuerySet[User]) -> HttpResponse | None:
        return self._to_each(request, chosen, standing.sign_out, done="Signed out")

    @admin.action(description="Forget second factors and passkeys", permissions=["act"])
    def forget_factors(self, request: HttpRequest, chosen: QuerySet[User]) -> HttpResponse | None:
        return self._to_each(
            request,
            chosen,
            standing.forget_factors,
            done="They sign in with their password alone now",
            warning="Whoever knows the password of these users can sign in as them then. Make sure that it was they "
            "who asked.",
        )

    def _to_each(
        self, request: HttpRequest, chosen: QuerySet[User], act: Any, *, done: str, warning: str = ""
    ) -> HttpResponse | None:
        by = acting(request.user)
        return self.carry_out(request, chosen, lambda user: act(user, by=by), done=done, warning=warning)


@admin.register(Group)
class GroupsAdmin(ForSuperusers, Small, GroupAdmin):
    """Groups stand for companies' groups, for roles in projects, and two of them for roles on the whole system."""

    list_display = ["name"]
    search_fields = ["^name"]
    filter_horizontal = ["permissions"]
