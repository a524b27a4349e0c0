"""Checks of the cluster: asked for by people, carried out by workers (`guests.checks`), the last ones kept."""

from datetime import timedelta

from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.utils import timezone
from django_q.tasks import async_task

from events import actions as events
from guests.models import Diagnosis
from projects.models import User
from proxmox.diagnosis.findings import Report

SUBJECT = "proxmox:check"  # whom the doorbell rings for
KEPT = 20
# A check that has taken longer lost its worker: another may be asked for.
LOST_AFTER = timedelta(minutes=5)


def may_see(user: User | AnonymousUser) -> bool:
    """Checks tell of the whole cluster, so they are for staff."""
    return isinstance(user, User) and user.administers


def ask(by: str) -> Diagnosis:
    """Have the cluster checked; one check at a time, so the one under way is returned if there is one."""
    if (last := latest()) and is_under_way(last):
        return last
    with transaction.atomic():
        asked = Diagnosis.objects.create(asked_by=by)
        # On commit, because with Redis the queue knows nothing of our transactions.
        transaction.on_commit(lambda: async_task("guests.tasks.diagnose", asked.pk))
        events.ring("proxmox.asked", subject=SUBJECT)
    return asked


def latest(*, finished: bool = False) -> Diagnosis | None:
    """The check that was asked for last, or that was finished last."""
    found = Diagnosis.objects.exclude(finished_at=None) if finished else Diagnosis.objects.all()
    return found.first()


def is_under_way(diagnosis: Diagnosis) -> bool:
    return diagnosis.finished_at is None and timezone.now() - diagnosis.asked_at < LOST_AFTER


def record(diagnosis_id: int, report: Report) -> None:
    """Write down what a check found, and forget the oldest ones."""
    with transaction.atomic():
        Diagnosis.objects.filter(pk=diagnosis_id).update(
            finished_at=timezone.now(), status=report.status, findings=report.plain()
        )
        kept = Diagnosis.objects.values_list("pk", flat=True)[:KEPT]
        Diagnosis.objects.exclude(pk__in=list(kept)).delete()
        events.ring("proxmox.checked", subject=SUBJECT)
