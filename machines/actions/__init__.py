"""What people, programs and guests may ask of a machine. Nothing here talks to Proxmox; callers check rights."""

from machines.actions.lookup import find, machine_of
from machines.actions.spawn import Replay, spawn
from machines.actions.verbs import (
    checkpoint,
    checkpoint_before_call,
    depart,
    end,
    held_back,
    lost,
    out_of_budget,
    pause,
    resume,
    rollback,
    switched_off,
    terminate,
)

__all__ = [
    "Replay",
    "checkpoint",
    "checkpoint_before_call",
    "depart",
    "end",
    "find",
    "held_back",
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
