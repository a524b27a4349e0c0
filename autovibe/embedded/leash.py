"""`python -m autovibe.embedded.leash SECONDS PROGRAM …`: a program that ends when it is told to, one way or the other.

django-q2's cluster waits for ever when it is told to stop while it is still starting, and leaves its workers behind
when it is killed. We tell it to stop; when it has not after SECONDS, our whole process group is killed.
"""

import os
import signal
import subprocess
import sys
import time

TICK_SECONDS = 0.1


def main() -> int:
    """Run the program; its exit code."""
    grace_seconds, deadline = float(sys.argv[1]), float("inf")
    told: list[int] = []
    # Before the program is there: by what it says, others may know that it is, and tell us.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: told.append(received))
    program = subprocess.Popen(sys.argv[2:])
    while (code := program.poll()) is None:
        if told and deadline == float("inf"):
            program.terminate()
            deadline = time.monotonic() + grace_seconds
        if time.monotonic() > deadline:
            os.killpg(0, signal.SIGKILL)
        time.sleep(TICK_SECONDS)
    return code


if __name__ == "__main__":
    sys.exit(main())
