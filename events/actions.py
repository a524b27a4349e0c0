"""Record events, and ring the doorbell for open pages once they are committed."""

from typing import Any
from uuid import UUID

from events import context, doorbell
from events.context import SYSTEM
from events.models import Event
from events.scrub import scrub

FLEET = "fleet"

__all__ = ["FLEET", "SYSTEM", "group", "record", "ring", "ring_page"]


def group(subject: str) -> str:
    """The doorbell group of a subject: `machine:<uuid>` rings at `machine.<uuid>`."""
    return subject.replace(":", ".", 1)


def record(
    kind: str, *, subject: str, project_id: UUID | None = None, by: str = SYSTEM, **data: Any
) -> Event:
    """Append one event in the caller's transaction; its subject's and project's pages hear of it on commit.

    Where something is changed, `before` holds what it was, by the names that the rest of `data` has it by. Secrets are
    left out and long texts cut: see `scrub`. From where it was asked for is known from `context`.
    """
    source = context.current()
    event = Event.objects.create(
        kind=kind,
        subject=subject,
        project_id=project_id,
        actor=by,
        actor_kind=context.kind_of(by),
        interface=source.interface,
        token=source.token,
        address=source.address,
        request_id=source.request_id,
        data=scrub(data),
    )
    ring(kind, subject=subject, project_id=project_id)
    return event


def ring(kind: str, *, subject: str, project_id: UUID | None = None) -> None:
    """Tell open pages that `subject` changed, without recording anything."""
    groups = [group(subject), FLEET]
    if project_id:
        groups.append(f"project.{project_id}")
    doorbell.ring(groups, {"subject": subject, "kind": kind})


def ring_page(kind: str, *, subject: str) -> None:
    """Tell only the pages of `subject` itself: nothing that pages of many things show has changed."""
    doorbell.ring([group(subject)], {"subject": subject, "kind": kind})
