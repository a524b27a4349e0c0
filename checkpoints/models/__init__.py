"""The tables of checkpoints, a module for each noun."""

from checkpoints.models.checkpoint import Checkpoint, CheckpointQuerySet
from checkpoints.models.contents import Blob, Manifest, ManifestPart
from checkpoints.models.effect import Effect
from checkpoints.models.rules import Rules
from checkpoints.models.verification import Verification

__all__ = [
    "Blob",
    "Checkpoint",
    "CheckpointQuerySet",
    "Effect",
    "Manifest",
    "ManifestPart",
    "Rules",
    "Verification",
]
