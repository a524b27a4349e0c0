"""The tables of machines, a module for each noun."""

from machines.models.lease import Lease
from machines.models.log import LogLine
from machines.models.machine import Machine, MachineFile, MachineQuerySet, MachineToken, next_number
from machines.models.message import Message
from machines.models.prediction import Prediction

__all__ = [
    "Lease",
    "LogLine",
    "Machine",
    "MachineFile",
    "MachineQuerySet",
    "MachineToken",
    "Message",
    "Prediction",
    "next_number",
]
