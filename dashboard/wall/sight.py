"""What one screen may show."""

from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from dashboard.models import Screen
from machines.models import Machine, MachineQuerySet
from projects.models import Project


@dataclass(frozen=True)
class Sight:
    """The screen's projects, and whether it shows prompts."""

    projects: list[Project]
    prompts: bool

    @classmethod
    def of(cls, screen: Screen) -> "Sight":
        return cls(list(screen.sight), screen.shows_prompts)

    @cached_property
    def ids(self) -> list[UUID]:
        return [project.pk for project in self.projects]

    @cached_property
    def slugs(self) -> dict[UUID, str]:
        return {project.pk: project.slug for project in self.projects}

    @property
    def machines(self) -> MachineQuerySet:
        return Machine.objects.filter(project__in=self.ids)
