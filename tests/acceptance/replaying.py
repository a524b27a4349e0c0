"""A session played again from its record."""

from tests.acceptance.session import Session


def replayed(session: Session) -> str:
    """Replay it to its end, with success; returns the handle of the machine that did."""
    handle: str = session.stack.post(f"machines/{session.handle}/replay/")["handle"]
    machine = session.stack.await_state(handle, "terminated", seconds=120)
    assert machine["exit_code"] == 0
    return handle


def answered_by(session: Session, handle: str) -> list[int]:
    """Which calls of the session answered those of the replay, in order."""
    made = session.stack.get(f"machines/{handle}/calls/")["results"]
    return sorted(call["replayed"] for call in made)
