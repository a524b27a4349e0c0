"""What events and operations are about, by the names that people use; the subjects are strings that programs use."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.urls import reverse

from checkpoints.models import Checkpoint
from guests.models import Guest
from machines.limits import spending


@dataclass(frozen=True)
class Thing:
    """What something is about: its name, and its page where it has one."""

    name: str
    address: str = ""


def of(subjects: Iterable[str], slugs: Mapping[UUID, str]) -> dict[str, Thing]:
    """Names and pages of machines, checkpoints, VMs and the projects in `slugs`. At most three queries."""
    by_kind: dict[str, set[UUID]] = {}
    for subject in subjects:
        kind, _, key = subject.partition(":")
        if known := _uuid(key):
            by_kind.setdefault(kind, set()).add(known)
    return {
        **{f"machine:{key}": _at("machine", name) for key, name in _machines(by_kind).items()},
        **{f"checkpoint:{key}": _at("checkpoint", name) for key, name in _checkpoints(by_kind)},
        **{f"guest:{key}": Thing(f"VM {vmid}") for key, vmid in _guests(by_kind)},
        **{
            f"project:{key}": _at("project", slugs[key]) for key in by_kind.get("project", ()) if key in slugs
        },
    }


def short(subject: str) -> str:
    """What is said of a subject that has no name any more."""
    kind, _, key = subject.partition(":")
    return f"{kind} {key[:8]}" if _uuid(key) else subject.replace(":", " ", 1)


def _machines(by_kind: Mapping[str, set[UUID]]) -> dict[UUID, str]:
    return spending.handles(by_kind.get("machine", ()))


def _checkpoints(by_kind: Mapping[str, set[UUID]]) -> Iterable[tuple[UUID, str]]:
    return Checkpoint.objects.filter(pk__in=by_kind.get("checkpoint", ())).values_list("pk", "handle")


def _guests(by_kind: Mapping[str, set[UUID]]) -> Iterable[tuple[UUID, int]]:
    return Guest.objects.filter(pk__in=by_kind.get("guest", ())).values_list("pk", "vmid")


def _at(route: str, name: str) -> Thing:
    return Thing(name, reverse(f"dashboard:{route}", args=[name]))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
