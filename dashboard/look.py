"""How states look: a tone, a glyph, and whether somebody is working on it. The word is the state's own."""

from typing import NamedTuple

from budgets.models import LedgerEntry
from checkpoints.states import State as CheckpointState
from checkpoints.states import Verdict
from gateway.models import Call
from machines.states import State as MachineState


class Look(NamedTuple):
    """`tone` is a class of components.css, `icon` a symbol of icons.svg; busy ones turn."""

    tone: str
    icon: str
    busy: bool = False


M, C, K = MachineState, CheckpointState, Call.State
MACHINES: dict[str, Look] = {
    M.REQUESTED: Look("neutral", "clock"),
    M.CLONING: Look("info", "turn", busy=True),
    M.PROVISIONING: Look("info", "turn", busy=True),
    M.RUNNING: Look("ok", "play"),
    M.PAUSING: Look("warn", "turn", busy=True),
    M.PAUSED: Look("warn", "pause"),
    M.RESUMING: Look("info", "turn", busy=True),
    M.RESTORING: Look("snap", "turn", busy=True),
    M.STOPPING: Look("neutral", "turn", busy=True),
    M.TERMINATED: Look("neutral", "stop"),
    M.FAILED: Look("bad", "cross"),
}
CHECKPOINTS: dict[str, Look] = {
    C.REQUESTED: Look("snap", "turn", busy=True),
    C.CAPTURED: Look("ok", "check"),
    C.PRUNING: Look("neutral", "turn", busy=True),
    C.PRUNED: Look("neutral", "stop"),
    C.BROKEN: Look("bad", "cross"),
}
# What people see of a checkpoint: its state, and beyond captured how far it can be trusted.
STANDINGS: dict[str, Look] = {
    **CHECKPOINTS,
    C.CAPTURED: Look("info", "check"),
    "durable": Look("snap", "check"),
    "verified": Look("ok", "check"),
}
VERDICTS: dict[str, Look] = {
    Verdict.REQUESTED: Look("snap", "turn", busy=True),
    Verdict.PASSED: Look("ok", "check"),
    Verdict.FAILED: Look("bad", "cross"),
    Verdict.ABANDONED: Look("neutral", "question"),
}
CALLS: dict[str, Look] = {
    K.ADMITTED: Look("accent", "turn", busy=True),
    K.STREAMING: Look("accent", "turn", busy=True),
    K.DONE: Look("ok", "check"),
    K.FAILED: Look("bad", "cross"),
    K.RELEASED: Look("neutral", "stop"),
}
E = LedgerEntry.Kind
ENTRIES: dict[str, str] = {  # tones
    E.USAGE: "neutral",
    E.ASSUMED: "warn",
    E.CORRECTION: "info",
    E.RERATING: "info",
    E.LIMIT: "accent",
    E.TRANSFER: "accent",
}
UNKNOWN = Look("neutral", "question")
