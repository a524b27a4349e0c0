"""The strip of first steps on the fleet page."""

from typing import Any

from django import template

from dashboard import start
from projects.models import Project, User

register = template.Library()


@register.simple_tag
def start_strip(user: User, projects: list[Project]) -> dict[str, Any] | None:
    """What is to be done next before machines can run; None where nothing is."""
    return start.strip(user, projects)
