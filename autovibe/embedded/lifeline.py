"""Children that do not outlive their parent."""

import ctypes
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # prctl(2), <linux/prctl.h>


def die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """A `preexec_fn` that has the kernel send `number` to the child when its parent dies, however it dies.

    Linux only; elsewhere None, and what a killed parent leaves behind is found at the next start.
    The kernel looks at the parent *thread*: start children from one that lives as long as the process.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork: no locks are taken after it

    def ask_the_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)

    return ask_the_kernel
