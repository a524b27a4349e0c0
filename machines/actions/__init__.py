"""What people, programs and guests may ask of a machine. Nothing here talks to Proxmox; callers check rights."""

from machines.actions.lookup import find, machine_of
from machines.actions.spawn import spawn
from machines.actions.verbs import (
    checkpoint,
    checkpoint_before_call,
    end,
    lost,
    out_of_budget,
    pause,
    resume,
    rollback,
    switched_off,
    terminate,
)

__all__ = [
    "checkpoint",
    "checkpoint_before_call",
    "end",
    "find",
    "lost",
    "machine_of",
    "out_of_budget",
    "pause",
    "resume",
    "rollback",
    "spawn",
    "switched_off",
    "terminate",
]
