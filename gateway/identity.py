"""Ids that are made in order of time, so that what is new lies together in every index (RFC 9562 §5.7, UUIDv7)."""

import os
import time
from uuid import UUID

_VERSION_AND_VARIANT = 0x7000_8000_0000_0000_0000
_RANDOM = 0x0FFF_3FFF_FFFF_FFFF_FFFF


def new_id() -> UUID:
    """48 bits of milliseconds, and 74 random ones."""
    random = int.from_bytes(os.urandom(10), "big") & _RANDOM
    return UUID(int=(time.time_ns() // 1_000_000 << 80) | _VERSION_AND_VARIANT | random)
