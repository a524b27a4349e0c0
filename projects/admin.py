"""Users, projects and tokens in the Django admin."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from guardian.admin import GuardedModelAdmin

from projects.models import ApiToken, Project, User

admin.site.register(User, UserAdmin)


@admin.register(Project)
class ProjectAdmin(GuardedModelAdmin):
    list_display = ["slug", "name", "created_at"]
    search_fields = ["slug", "name"]


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin[ApiToken]):
    list_display = ["name", "user", "prefix", "created_at", "expires_at", "last_used_at"]
    readonly_fields = ["prefix", "digest", "last_used_at"]

    def has_add_permission(self, request: object) -> bool:
        return False
