"""The tables of guests, a module for each noun."""

from guests.models.cluster import Node, Storage, Stray, StrayQuerySet
from guests.models.diagnosis import Diagnosis
from guests.models.guest import Guest, Source, next_vmid
from guests.models.usage import Meter, Usage

__all__ = [
    "Diagnosis",
    "Guest",
    "Meter",
    "Node",
    "Source",
    "Storage",
    "Stray",
    "StrayQuerySet",
    "Usage",
    "next_vmid",
]
