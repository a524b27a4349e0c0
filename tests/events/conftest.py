"""A chain of events, and whoever owns the database that it is in."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection

from events import actions as events
from events.chain import heads
from events.models import Event

TABLES = ("events_event", "events_link", "events_head")
Owner = Callable[..., None]


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, settings) -> Path:
    """The file of heads, outside of the database."""
    settings.AUDIT_HEADS = str(tmp_path / "kept" / "heads.jsonl")
    return Path(settings.AUDIT_HEADS)


@pytest.fixture
def ten(db) -> list[Event]:
    """Ten events in a chain whose head is signed."""
    made = [
        events.record("machine.running", subject=f"machine:{n}", by="alice", note=f"n{n}") for n in range(10)
    ]
    assert heads.mind()
    return made


@pytest.fixture
def owner(db) -> Owner:
    """Runs statements as the owner of the tables, who has granted himself everything and disabled every trigger."""

    def run(*statements: str) -> None:
        with connection.cursor() as cursor:
            for table in TABLES:
                cursor.execute(f"GRANT UPDATE, DELETE, TRUNCATE ON {table} TO CURRENT_USER")
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            for statement in statements:
                cursor.execute(statement)
            for table in TABLES:
                cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
                cursor.execute(f"REVOKE UPDATE, DELETE ON {table} FROM CURRENT_USER")

    return run
