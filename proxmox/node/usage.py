"""What guests use: processors and memory for the lists, and the samples that rrddata is made of."""

import os
import threading
import time
from typing import TYPE_CHECKING

from proxmox.node import drives, machine_facts, processes
from proxmox.node.configs import Values
from proxmox.node.errors import Failure
from proxmox.node.guests import Guests
from proxmox.node.metrics import Values as Sample
from proxmox.node.processes import Counters

if TYPE_CHECKING:
    from proxmox.node.host import Host

FRESH_SECONDS = 1.0  # how old figures of processor and memory may be
DEFAULT_MEMORY_MIB = 512
_NOTHING = Counters()


class Usage:
    """What guests use now, from two readings of the process table at least a second apart."""

    def __init__(self, guests: Guests) -> None:
        self._guests = guests
        self._lock = threading.Lock()
        self._read_at = 0.0
        self._last: dict[int, Counters] = {}
        self._cpu: dict[int, float] = {}

    def of(self, vmid: int) -> tuple[float, Counters]:
        """Processors in use (1.0: one core) since the reading before, and the counters since power-on."""
        with self._lock:
            if time.monotonic() - self._read_at >= FRESH_SECONDS:
                self._read()
            return self._cpu.get(vmid, 0.0), self._last.get(vmid, _NOTHING)

    def _read(self) -> None:
        now = time.monotonic()
        used, elapsed = self._guests.usage(processes.table()), now - self._read_at
        self._cpu = {vmid: rate(self._last, vmid, new, "cpu_seconds", elapsed) for vmid, new in used.items()}
        self._last, self._read_at = used, now


class Sampling:
    """Samples for rrddata: what was used since the sample before, so that nothing is missed in between."""

    def __init__(self, host: "Host") -> None:
        self._host = host
        self._taken_at = time.monotonic()
        self._last: dict[int, Counters] = {}

    def take(self) -> dict[str, Sample]:
        """A sample of the node and of every VM; of one that is off, only what it is given."""
        now = time.monotonic()
        elapsed, self._taken_at = max(now - self._taken_at, 0.001), now
        used = self._host.guests.usage(processes.table())
        samples = {"node": _of_node(self._host)}
        for vmid, config in self._host.configs.all().items():
            samples[f"qemu/{vmid}"] = _given(config.values)
            if vmid in used and vmid in self._last:
                samples[f"qemu/{vmid}"] |= self._used(vmid, config.values, used[vmid], elapsed)
        self._last = used
        return samples

    def _used(self, vmid: int, values: Values, used: Counters, elapsed: float) -> Sample:
        names = {"diskread": "disk_read_bytes", "diskwrite": "disk_written_bytes"}
        sample: Sample = {key: rate(self._last, vmid, used, name, elapsed) for key, name in names.items()}
        cpu = rate(self._last, vmid, used, "cpu_seconds", elapsed) / processors(values)
        sample |= {"cpu": cpu, "mem": used.memory_bytes, "netin": 0, "netout": 0}
        if self._host.release.tells_host_memory:
            sample |= {"memhost": used.memory_bytes} | machine_facts.pressures()
        return sample


def rate(last: dict[int, Counters], vmid: int, new: Counters, name: str, elapsed: float) -> float:
    """How fast a counter went up; 0 for a guest that was not there before, or was started again."""
    before = last.get(vmid)
    return max(0.0, (getattr(new, name) - getattr(before, name)) / elapsed) if before else 0.0


def processors(values: Values) -> int:
    """How many processors a VM has."""
    return int(values.get("sockets", 1)) * int(values.get("cores", 1))


def memory_bytes(values: Values) -> int:
    """How much main memory a VM has."""
    return int(str(values.get("memory", DEFAULT_MEMORY_MIB)).removeprefix("current=")) * 1024**2


def _given(values: Values) -> Sample:
    try:
        capacity = drives.capacity(values)
    except Failure:
        capacity = 0
    return {"maxcpu": processors(values), "maxmem": memory_bytes(values), "maxdisk": capacity, "disk": 0}


def _of_node(host: "Host") -> Sample:
    total, available = host.storage_bytes()
    memory, free = memory_of_host()
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    return {
        "cpu": min(1.0, load / cores),
        "maxcpu": cores,
        "loadavg": load,
        "memtotal": memory,
        "memused": memory - free,
        "roottotal": total,
        "rootused": total - available,
        **dict.fromkeys(("iowait", "netin", "netout", "swaptotal", "swapused"), 0.0),
    }


def memory_of_host() -> tuple[int, int]:
    """Total and available bytes of main memory; what cannot be known here is 0."""
    page, total = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    available = os.sysconf("SC_AVPHYS_PAGES") if "SC_AVPHYS_PAGES" in os.sysconf_names else 0
    return total * page, available * page
