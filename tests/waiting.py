"""Waiting for what becomes true by itself, as other processes get on."""

import time
from collections.abc import Callable


def settled(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    """Whether `condition` has been true once within `seconds`; what becomes of it afterwards is not looked at."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
