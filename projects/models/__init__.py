"""Users, projects, grants and API tokens. Permissions hang on the project; everything below inherits them."""

from projects.models.grants import ProjectGroupObjectPermission, ProjectUserObjectPermission
from projects.models.invitation import Invitation
from projects.models.jwt_family import JwtFamily
from projects.models.project import HUB, NAME, Project, ProjectQuerySet
from projects.models.token import ApiToken
from projects.models.user import User

__all__ = [
    "HUB",
    "NAME",
    "ApiToken",
    "Invitation",
    "JwtFamily",
    "Project",
    "ProjectGroupObjectPermission",
    "ProjectQuerySet",
    "ProjectUserObjectPermission",
    "User",
]
