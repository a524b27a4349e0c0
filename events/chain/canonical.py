"""What a digest is of: one text for each event, the same in the database, in exports and for whoever checks them.

Frozen: every digest that was ever made depends on it. A new column needs a second version beside it.
"""

import hashlib

# An SQL expression over a row `e` of events_event. Keys, numbers and escapes are as PostgreSQL writes jsonb.
TEXT = """jsonb_build_object(
    'id', e.id,
    'at', to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'kind', e.kind,
    'subject', e.subject,
    'project_id', e.project_id,
    'actor', e.actor,
    'actor_kind', e.actor_kind,
    'interface', e.interface,
    'token', e.token,
    'address', e.address,
    'request_id', e.request_id,
    'data', e.data
)::text"""

# Before the first event.
NOTHING = "0" * 64


def digest(previous: str, text: str) -> str:
    """SHA-256, in hexadecimal, of the digest before it, a line feed, and the event's text."""
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()
