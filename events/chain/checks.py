"""Once a day the whole chain is verified by a worker; what is found is an event itself, and everybody can see when."""

import time
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django_q.tasks import async_task

from events import actions as events
from events.chain import heads, keys, verify
from events.chain.verify import Heads, Report, Told
from events.models import Event

SUBJECT = "audit"
INTACT, BROKEN = "audit.intact", "audit.broken"
EVERY = timedelta(days=1)
AGAIN_SECONDS = 3600.0  # after which a worker is asked once more, where nothing came of it
SHOWN = 20  # findings that an event names
_LOCK = 0x61756474  # "audt": one at a time
_asked_at = float("-inf")


def mind() -> None:
    """Sign the head of the chain, and have the chain verified where that is due. The hub's, each minute."""
    global _asked_at
    heads.mind()
    if time.monotonic() - _asked_at > AGAIN_SECONDS and _is_due():
        _asked_at = time.monotonic()
        async_task("events.chain.checks.run_if_due", task_name="verify the audit chain")


@transaction.atomic
def run_if_due() -> None:
    """The worker's. The queue may hold it more than once."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if cursor.fetchone()[0] and _is_due():
            run()


def run(files: list[Path] | None = None, told: Told | None = None) -> Report:
    """Verify the database and record what was found. Heads: of the database, and of the files.

    Without files, those of our own heads, where it is there. Raises `heads.Unreadable`.
    """
    own = Path(settings.AUDIT_HEADS)
    paths = files if files is not None else [own] * own.exists()
    known = keys.public()
    others = [Heads(str(path), heads.of_file(path), known) for path in paths]
    report = verify.database(heads.kept(), others, known, told)
    first = [found.sentence for found in report.findings[:SHOWN]]
    events.record(
        BROKEN if report.findings else INTACT,
        subject=SUBJECT,
        events=report.links,
        position=report.position,
        digest=report.digest,
        findings=len(report.findings),
        sentences=first,
    )
    return report


def latest() -> Event | None:
    """The last time that it was verified."""
    return Event.objects.filter(subject=SUBJECT, kind__in=(INTACT, BROKEN)).first()


def _is_due() -> bool:
    last = latest()
    return last is None or timezone.now() - last.at > EVERY
