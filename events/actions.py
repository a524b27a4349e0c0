"""Record events, and ring the doorbell for open pages once they are committed."""

from typing import Any
from uuid import UUID

from events import doorbell
from events.models import Event

SYSTEM = "system"
FLEET = "fleet"


def group(subject: str) -> str:
    """The doorbell group of a subject: `machine:<uuid>` rings at `machine.<uuid>`."""
    return subject.replace(":", ".", 1)


def record(
    kind: str, *, subject: str, project_id: UUID | None = None, by: str = SYSTEM, **data: Any
) -> Event:
    """Append one event in the caller's transaction; its subject's and project's pages hear of it on commit."""
    event = Event.objects.create(kind=kind, subject=subject, project_id=project_id, actor=by, data=data)
    ring(kind, subject=subject, project_id=project_id)
    return event


def ring(kind: str, *, subject: str, project_id: UUID | None = None) -> None:
    """Tell open pages that `subject` changed, without recording anything."""
    groups = [group(subject), FLEET]
    if project_id:
        groups.append(f"project.{project_id}")
    doorbell.ring(groups, {"subject": subject, "kind": kind})
