"""Building a template: the steps in order, each asked first whether it is done.

Nothing is remembered here. What is done stands on the cluster, in the VM's description and in its guest, so that a
command that was killed at any line is simply given again.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from guests.models import Guest
from machines.templates.errors import BuildError
from machines.templates.place import Place
from machines.templates.recipe import Image, Recipe
from proxmox import errors
from proxmox.connect import driver
from proxmox.driver import VM

PATIENCE_SECONDS = 1800  # how long a step is tried again while Proxmox is away or busy
PAUSE_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5)
# After these it is safe to look, and to ask again.
PASSING = (errors.Transient, errors.Busy, errors.UnknownOutcome, errors.AgentAbsent, errors.Exists)


T = TypeVar("T")


def _silent(line: str) -> None:
    """Nobody wants to hear."""


@dataclass
class Build:
    """One template in the making. `image` is None on the embedded node, whose guests need none."""

    recipe: Recipe
    guest: Guest
    place: Place
    digest: str
    image: Image | None
    memory_mib: int
    vmid_chosen: bool = False
    bridge: str = "vmbr0"
    kvm: bool = True  # whether the processor's virtualization is used, by the template and its clones
    environment: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[str], None] = _silent

    @property
    def vm(self) -> VM:
        return self.guest.vm


class Step(NamedTuple):
    """`act` is given when `is_done` says no, and may answer the UPID of a task to wait for. Both may be repeated."""

    title: str
    is_done: Callable[[Build], bool]
    act: Callable[[Build], str | None]


def take_steps(build: Build, steps: list[Step]) -> None:
    """All steps in order, with a line for each. Raises `BuildError` or `ProxmoxError`."""
    for number, step in enumerate(steps, 1):
        began = time.monotonic()
        acted = patiently(lambda step=step: _take(build, step), PATIENCE_SECONDS)  # type: ignore[misc]
        took = f"{time.monotonic() - began:.1f} s" if acted else "done before"
        build.say(f"[{number}/{len(steps)}] {step.title}: {took}")


def _take(build: Build, step: Step) -> bool:
    """Whether there was anything to do."""
    left = driver().running_task(build.vm)  # by a command that was killed
    if left and not _is_console(left):
        await_task(left)
    if step.is_done(build):
        return False
    if upid := step.act(build):
        await_task(upid)
    return True


def _is_console(upid: str) -> bool:
    """A console that somebody has open counts as a task of the VM (pve-manager: vncproxy, termproxy)."""
    return upid.split(":")[5] in {"vncproxy", "termproxy", "spiceproxy"}


def patiently(act: Callable[[], T], seconds: float) -> T:
    """What `act` answers, asked again for that time after what passes by itself. Raises what does not."""
    deadline = time.monotonic() + seconds
    for pause in pauses():
        try:
            return act()
        except PASSING:
            if time.monotonic() > deadline:
                raise
        time.sleep(pause)
    raise AssertionError("unreachable")


def pauses() -> Iterator[float]:
    """Ever longer ones, without end."""
    yield from PAUSE_SECONDS
    while True:
        yield PAUSE_SECONDS[-1]


def await_task(upid: str) -> None:
    """Wait for a task of Proxmox. Raises what it ended with, with the end of its log."""
    for pause in pauses():
        try:
            result = driver().tasks([upid])[0].result
        except (errors.Transient, errors.UnknownOutcome):
            result = ""
        if result:
            _judge(upid, result)
            return
        time.sleep(pause)


def _judge(upid: str, result: str) -> None:
    if result == "OK" or result.startswith("WARNINGS:"):
        return
    failure = errors.classify(result)
    if isinstance(failure, PASSING):
        raise failure
    raise BuildError(f"A task of Proxmox failed: {result}\n{driver().task_log(upid)}")
