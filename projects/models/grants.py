"""Who holds which right on which project, as django-guardian keeps it.

Direct foreign keys keep its queries free of casts. Nothing but projects has grants of its own.
"""

from django.db import models
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from projects.models.project import Project


class ProjectUserObjectPermission(UserObjectPermissionBase):
    """A grant to a user."""

    content_object = models.ForeignKey(Project, models.CASCADE)


class ProjectGroupObjectPermission(GroupObjectPermissionBase):
    """A grant to a group."""

    content_object = models.ForeignKey(Project, models.CASCADE)
