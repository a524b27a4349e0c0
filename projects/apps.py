"""The app's start: system roles are there in every database, whatever was flushed."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ProjectsConfig(AppConfig):
    name = "projects"

    def ready(self) -> None:
        post_migrate.connect(_make_system_roles, sender=self)


def _make_system_roles(**_: Any) -> None:
    from django.contrib.auth.models import Group, Permission

    from projects.roles import SYSTEM_ROLES

    rights = Permission.objects.filter(content_type__app_label="projects", content_type__model="project")
    for name, held in SYSTEM_ROLES.items():
        group, made = Group.objects.get_or_create(name=name)
        if made:
            group.permissions.set(rights.filter(codename__in=held))
