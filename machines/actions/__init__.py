"""What people, programs and guests may ask of a machine. Nothing here talks to Proxmox; callers check rights."""

from machines.actions.keeping import (
    checkpoint,
    checkpoint_before_call,
    checkpoint_before_tool,
    taken_before_tool,
)
from machines.actions.lookup import find, machine_of
from machines.actions.message import message, turn_ended
from machines.actions.proof import export, verify
from machines.actions.restore_file import restore_file
from machines.actions.returning import rollback_preview
from machines.actions.spawn import Replay, spawn
from machines.actions.verbs import (
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
    terminate_soon,
)

__all__ = [
    "Replay",
    "checkpoint",
    "checkpoint_before_call",
    "checkpoint_before_tool",
    "depart",
    "end",
    "export",
    "find",
    "held_back",
    "lost",
    "machine_of",
    "message",
    "out_of_budget",
    "pause",
    "restore_file",
    "resume",
    "rollback",
    "rollback_preview",
    "spawn",
    "switched_off",
    "taken_before_tool",
    "terminate",
    "terminate_soon",
    "turn_ended",
    "verify",
]
