"""The templates there are, and the end of one."""

from collections.abc import Callable, Iterator

from checkpoints.models import Checkpoint
from guests.models import Guest
from guests.states import EXISTING
from machines.templates import registry
from machines.templates.build import await_task, patiently
from machines.templates.errors import BuildError
from machines.templates.making import TAGS, delete_seed, seed_of
from proxmox import errors
from proxmox.connect import driver
from proxmox.driver import MARK, Observed, Power, tags_of

# 9.2's `qm cleanup` holds the lock of a VM that was stopped for up to 60 s (qemu-server: CLI/qm.pm).
LOCKED_SECONDS = 90


def _all() -> list[tuple[Guest, Observed | None]]:
    """Every template, finished or not, and how the cluster has it. No other guest is without a project."""
    seen = {vm.vmid: vm for vm in driver().inventory()}
    guests = Guest.objects.filter(project=None, state__in=EXISTING)
    return [(guest, seen.get(guest.vmid)) for guest in guests]


def _name(vm: Observed | None) -> str:
    return vm.name.removeprefix("autovibe-") if vm else ""


def table() -> Iterator[str]:
    """A line for each template: its VM, name, place, how it stands, and where one may begin there."""
    yield f"{'VMID':>7}  {'NAME':<20} {'NODE':<12} {'STATE':<11} BEGINNINGS"
    for guest, vm in _all():
        handles = Checkpoint.objects.filter(guest=guest).order_by("handle").values_list("handle", flat=True)
        yield f"{guest.vmid:>7}  {_name(vm) or '?':<20} {guest.node:<12} {_state(guest, vm):<11} {', '.join(handles)}"


def _state(guest: Guest, vm: Observed | None) -> str:
    if vm is None:
        return "missing" if guest.template else "not begun"
    return "ready" if guest.template else "unfinished"


def find(which: str) -> Guest:
    """The template with that VMID or name. Raises `BuildError` unless it is exactly one."""
    known = _all()
    fit = [guest for guest, vm in known if which in {str(guest.vmid), _name(vm)}]
    if len(fit) == 1:
        return fit[0]
    if fit:
        numbers = ", ".join(str(guest.vmid) for guest in fit)
        raise BuildError(f"There are {len(fit)} templates {which}: say which VMID of {numbers}.")
    names = ", ".join(f"{_name(vm) or '?'} ({guest.vmid})" for guest, vm in known) or "none"
    raise BuildError(f"There is no template {which}; there are {names}.")


def remove(guest: Guest, *, say: Callable[[str], None]) -> None:
    """Destroy a template, or what there is of one. Raises `BuildError` while linked clones build on it."""
    seed = ""
    try:
        seed = seed_of(patiently(lambda: driver().config(guest.vm), LOCKED_SECONDS))
        patiently(lambda: _destroy(guest), LOCKED_SECONDS)
    except errors.Missing:
        pass  # gone already
    if seed:
        delete_seed(guest.node, seed, say)
    registry.forget(guest)


def _destroy(guest: Guest) -> None:
    """What was ended before it had its tags gets them, since nothing else is destroyed."""
    config = driver().config(guest.vm)
    if str(guest.id) in config.get("description", "") and MARK not in tags_of(config.get("tags")):
        driver().configure(guest.vm, {"tags": TAGS})
    if driver().observe(guest.vm).power != Power.STOPPED:
        _await(driver().stop(guest.vm))
    _await(driver().destroy(guest.vm))


def _await(upid: str | None) -> None:
    if upid:
        await_task(upid)
