"""Once a day the ledger is added up again and compared with the balances; by a worker, for a long one takes a while."""

from datetime import timedelta

from django.db import connection, transaction
from django.utils import timezone
from django_q.tasks import async_task

from budgets import ledger
from events import actions as events
from events.models import Event

SUBJECT = "ledger"
AGREES, DIFFERS = "ledger.agrees", "ledger.differs"
EVERY = timedelta(days=1)
SHOWN = 20  # windows that an event names
_LOCK = 0x6C656467  # "ledg": one at a time


def mind() -> bool:
    """Have the ledger verified if that is due; whether it was."""
    if not _is_due():
        return False
    async_task("budgets.audit.verify", task_name="verify the ledger")
    return True


@transaction.atomic
def verify() -> int | None:
    """Verify the ledger, and record what was found; returns in how many balances it differs.

    None where it is not due, or somebody else is at it: the queue may hold this more than once.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0] or not _is_due():
            return None
    found = ledger.verify()
    windows = [one.window_id for one in found[:SHOWN]]
    events.record(DIFFERS if found else AGREES, subject=SUBJECT, differences=len(found), windows=windows)
    return len(found)


def latest() -> Event | None:
    """The last time: `data["differences"]` says in how many balances it differed."""
    return Event.objects.filter(subject=SUBJECT, kind__in=(AGREES, DIFFERS)).first()


def _is_due() -> bool:
    last = latest()
    return last is None or timezone.now() - last.at > EVERY
