"""The proof: make a VM from the template, use it as a machine would, measure, and remove it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from proxmox import errors
from proxmox.diagnosis.case import Case
from proxmox.diagnosis.findings import Finding, Status, missing, ok
from proxmox.diagnosis.scratch import Scratch
from proxmox.diagnosis.setup import Setup
from proxmox.driver import VM, Driver, Power

Tell = Callable[[Finding], None]

AGENT_SECONDS = 300
# Each question to a VM that boots occupies one of pvedaemon's three workers for 3 s (qemu-server: guest-ping).
ASK_SECONDS = 2
SECTION = "Probe"
SNAPSHOT = "check"
# Any answer over HTTP will do: what is asked is whether packets find their way.
_REACH = """
import sys, urllib.error, urllib.request
try:
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=10)
except urllib.error.HTTPError:
    pass
except OSError as error:
    sys.exit(str(getattr(error, "reason", error)))
"""


class _Failed(Exception):
    """A step showed what is wrong; the steps after it would show nothing."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding


@dataclass(frozen=True, slots=True)
class _Probe:
    driver: Driver
    scratch: Scratch
    setup: Setup
    agent_seconds: float

    def clone(self) -> str:
        self.scratch.make()
        return f"VM {self.scratch.vm.vmid} on {self.scratch.vm.node}"

    def start(self) -> str:
        self.scratch.wait(self.driver.start(self.scratch.vm))
        return "powered on"

    def agent(self) -> str:
        deadline = time.monotonic() + self.agent_seconds
        while not self.driver.agent_answers(self.scratch.vm):
            if time.monotonic() > deadline:
                raise _Failed(self._no_agent())
            time.sleep(ASK_SECONDS)
        return "the guest agent answers"

    def _no_agent(self) -> Finding:
        power = self.driver.observe(self.scratch.vm).power
        state = "" if power == Power.RUNNING else f" The VM is {power.value}."
        return missing(
            "Agent",
            f"The guest agent did not answer within {self.agent_seconds:.0f} s.{state} Does the template have "
            "qemu-guest-agent installed and enabled?",
            "apt-get install qemu-guest-agent && systemctl enable qemu-guest-agent",
            "manage.py template build claude-code",
        )

    def python(self) -> str:
        ran = self.driver.run(self.scratch.vm, "python3 -V")
        if ran.code:
            raise _Failed(
                missing(
                    "Python",
                    "There is no python3 in the template: the program that looks after the agent needs it.",
                    "apt-get install python3",
                )
            )
        return (ran.out or ran.err).decode(errors="replace").strip()

    def gateway(self) -> str:
        url = f"{self.setup.gateway_url.rstrip('/')}/healthz"
        ran = self.driver.run(self.scratch.vm, 'python3 -c "$1" "$2"', _REACH, url)
        if ran.code:
            why = ran.err.decode(errors="replace").strip().rpartition("\n")[2]
            raise _Failed(
                missing(
                    "Gateway from inside",
                    f"The guest cannot reach {self.setup.gateway_url}: {why}.",
                    "AUTOVIBE_GATEWAY_URL=http://<address that guests can reach>:8000",
                )
            )
        return f"{self.setup.gateway_url} answers"

    def snapshot(self) -> str:
        self.scratch.snapshot(SNAPSHOT, "`manage.py proxmox check`")
        return "of the running VM"


def probe(setup: Setup, vmid: int, tell: Tell, *, agent_seconds: float = AGENT_SECONDS) -> None:
    """Tell one finding after another, each with how long its step took. `vmid` must be a number of our own.

    The VM is removed also when this is interrupted. Raises nothing of Proxmox's.
    """

    def telling(finding: Finding) -> None:
        tell(replace(finding, section=SECTION))

    try:
        case = Case(setup)
        found = case.template
    except errors.ProxmoxError as error:
        telling(missing("Template", f"Proxmox could not be asked: {error}"))
        return
    if found is None or not found.template:
        telling(missing("Template", f"There is no template {setup.template} to make a VM from."))
        return
    scratch = Scratch(case.driver, VM(found.node, found.vmid), vmid, pool=setup.pool)
    try:
        _exercise(_Probe(case.driver, scratch, setup, agent_seconds), telling)
    finally:
        _remove(scratch, telling)


def _exercise(probe: _Probe, tell: Tell) -> None:
    steps: dict[str, Callable[[], str]] = {
        "Clone": probe.clone,
        "Start": probe.start,
        "Agent": probe.agent,
        "Python": probe.python,
        "Gateway from inside": probe.gateway,
        "Snapshot": probe.snapshot,
    }
    for name, step in steps.items():
        finding = _timed(name, step)
        tell(finding)
        if finding.status != Status.OK and name != "Gateway from inside":
            return


def _timed(name: str, step: Callable[[], str]) -> Finding:
    began = time.monotonic()
    try:
        what = step()
    except _Failed as failed:
        return failed.finding
    except errors.ProxmoxError as error:
        return missing(name, str(error))
    return ok(name, f"{time.monotonic() - began:.1f} s: {what}.")


def _remove(scratch: Scratch, tell: Tell) -> None:
    vmid, node = scratch.vm.vmid, scratch.vm.node
    try:
        if scratch.remove():
            tell(ok("Clean-up", f"VM {vmid} is removed."))
    except errors.ProxmoxError as error:
        tell(
            missing(
                "Clean-up",
                f"VM {vmid} on {node} could not be removed: {error}",
                f"qm config {vmid}",
                f"qm stop {vmid} --skiplock; qm unlock {vmid}; qm destroy {vmid} --purge",
            )
        )
