"""A machine's life as a table: what may follow what, and which verb may be asked when. Pure data."""

from django.db import models


class State(models.TextChoices):
    REQUESTED = "requested"
    CLONING = "cloning"
    PROVISIONING = "provisioning"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    RESUMING = "resuming"
    RESTORING = "restoring"
    STOPPING = "stopping"
    TERMINATED = "terminated"
    FAILED = "failed"


S = State
MOVES: dict[State, frozenset[State]] = {
    S.REQUESTED: frozenset({S.CLONING, S.STOPPING, S.FAILED}),
    S.CLONING: frozenset({S.PROVISIONING, S.STOPPING, S.FAILED}),
    S.PROVISIONING: frozenset({S.RUNNING, S.STOPPING, S.FAILED}),
    S.RUNNING: frozenset({S.PAUSING, S.PAUSED, S.RESTORING, S.STOPPING, S.FAILED}),
    S.PAUSING: frozenset({S.PAUSED, S.RESUMING, S.RUNNING, S.FAILED}),
    S.PAUSED: frozenset({S.RESUMING, S.RESTORING, S.STOPPING, S.FAILED}),
    S.RESUMING: frozenset({S.RUNNING, S.PAUSED, S.FAILED}),
    S.RESTORING: frozenset({S.RUNNING, S.FAILED}),
    S.STOPPING: frozenset({S.TERMINATED, S.FAILED}),
    # The end of a machine is not the end of its guest: it can be rolled back, and runs again.
    S.TERMINATED: frozenset({S.RESTORING}),
    S.FAILED: frozenset({S.RESTORING}),
}

ENDED = frozenset({S.TERMINATED, S.FAILED})
SPAWNING = frozenset({S.REQUESTED, S.CLONING, S.PROVISIONING})
LIVE = frozenset(State) - ENDED
# Somebody is working on it.
BUSY = frozenset({S.CLONING, S.PROVISIONING, S.PAUSING, S.RESUMING, S.RESTORING, S.STOPPING})

# An agent may call before the worker that started it has said so; its checkpoint then waits for that worker.
CALLING = frozenset({S.PROVISIONING, S.RUNNING, S.RESUMING, S.RESTORING})

# Which states a verb may be asked in; pages and the API offer just these.
VERBS: dict[str, frozenset[State]] = {
    "checkpoint": frozenset({S.RUNNING, S.PAUSED}),
    "message": LIVE - {S.STOPPING},
    "pause": frozenset({S.RUNNING}),
    "resume": frozenset({S.PAUSED}),
    "restore-file": frozenset({S.RUNNING, S.PAUSED}),
    "rollback": frozenset({S.RUNNING, S.PAUSED, S.TERMINATED, S.FAILED}),
    "terminate": frozenset({S.RUNNING, S.PAUSED}) | SPAWNING,
}
