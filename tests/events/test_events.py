"""Events are appended, and heard of when they are committed."""

import pytest
from django.db import InternalError, transaction
from django.db.utils import DatabaseError

from events import actions as events
from events.models import Event


@pytest.fixture
def event(db) -> Event:
    return events.record("machine.running", subject="machine:1", by="alice", note="x")


class TestRecord:
    def test_it_keeps_who_what_and_the_rest(self, event):
        kept = Event.objects.get()

        assert (kept.kind, kept.subject, kept.actor, kept.data) == (
            "machine.running",
            "machine:1",
            "alice",
            {"note": "x"},
        )

    @pytest.mark.parametrize(
        "edit", [lambda: Event.objects.update(kind="x"), lambda: Event.objects.all().delete()]
    )
    def test_nobody_can_edit_or_delete_it(self, event, edit):
        with pytest.raises((InternalError, DatabaseError), match="append-only"), transaction.atomic():
            edit()

        assert Event.objects.get().kind == "machine.running"
