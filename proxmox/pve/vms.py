"""VMs: what they are, how they are made, switched, and removed."""

from collections.abc import Mapping
from typing import Any

from proxmox.driver import VM, Clone, Observed, Power, tags_of
from proxmox.pve.http import Part
from proxmox.pve.ownership import config_of, path_of, prove_ours, prove_pool


class VMs(Part):
    def observe(self, vm: VM) -> Observed:
        return observed({"node": vm.node, **self._http.get(f"{path_of(vm)}/status/current")})

    def config(self, vm: VM) -> dict[str, str]:
        return {key: str(value) for key, value in config_of(self._http, vm).items()}

    def configure(self, vm: VM, config: Mapping[str, str | int]) -> None:
        self._http.change("put", f"{path_of(vm)}/config", **config)

    def pending(self, vm: VM) -> frozenset[str]:
        rows = self._http.get(f"{path_of(vm)}/pending")
        return frozenset(str(row["key"]) for row in rows if "pending" in row or "delete" in row)

    def create(self, vm: VM, config: Mapping[str, str | int]) -> str | None:
        return self._http.submit("post", f"nodes/{vm.node}/qemu", vmid=vm.vmid, **config)

    def resize(self, vm: VM, disk: str, gib: int) -> str | None:
        prove_ours(self._http, vm)
        return self._http.submit("put", f"{path_of(vm)}/resize", disk=disk, size=f"{gib}G")

    def make_template(self, vm: VM) -> str | None:
        prove_ours(self._http, vm)
        return self._http.submit("post", f"{path_of(vm)}/template")

    def supports(self, vm: VM, feature: str, snapshot: str = "") -> bool:
        answer = self._http.get(f"{path_of(vm)}/feature", feature=feature, snapname=snapshot or None)
        return bool(int(answer["hasFeature"]))

    def clone(self, clone: Clone) -> str | None:
        return self._http.submit(
            "post",
            f"{path_of(clone.source)}/clone",
            newid=clone.target.vmid,
            name=clone.name,
            description=clone.description,
            pool=clone.pool,
            snapname=clone.snapshot or None,
            full=clone.full,
            storage=clone.storage if clone.full and clone.storage else None,
        )

    def start(self, vm: VM) -> str | None:
        return self._http.submit("post", f"{path_of(vm)}/status/start")

    def stop(self, vm: VM) -> str | None:
        prove_ours(self._http, vm)
        # A shutdown that waits for its guest holds the lock; without the flag we would wait for it, and fail.
        return self._http.submit("post", f"{path_of(vm)}/status/stop", **{"overrule-shutdown": 1})

    def suspend(self, vm: VM) -> str | None:
        return self._http.submit("post", f"{path_of(vm)}/status/suspend")

    def resume(self, vm: VM) -> str | None:
        return self._http.submit("post", f"{path_of(vm)}/status/resume")

    def shut_down(self, vm: VM, seconds: int) -> str | None:
        prove_ours(self._http, vm)
        return self._http.submit("post", f"{path_of(vm)}/status/shutdown", timeout=seconds, forceStop=True)

    def destroy(self, vm: VM) -> str | None:
        prove_ours(self._http, vm)
        prove_pool(self._http, vm, self._pool)
        return self._http.submit("delete", path_of(vm), purge=True)


_COUNTERS = {
    "disk_read_bytes": "diskread",
    "disk_written_bytes": "diskwrite",
    "received_bytes": "netin",
    "sent_bytes": "netout",
}


def observed(row: Mapping[str, Any]) -> Observed:
    """A VM from a row of `/cluster/resources`, of a node's list, or from its own status."""
    return Observed(
        node=str(row["node"]),
        vmid=int(row["vmid"]),
        name=str(row.get("name") or ""),
        power=_power(row),
        lock=str(row.get("lock") or ""),
        tags=tags_of(row.get("tags")),
        template=bool(int(row.get("template") or 0)),
        uptime_seconds=int(row.get("uptime") or 0),
        cpu=float(row.get("cpu") or 0),
        memory_bytes=int(row.get("mem") or 0),
        pool=str(row.get("pool") or ""),
        disk_bytes=int(row.get("maxdisk") or 0),
        processors=int(row.get("maxcpu") or row.get("cpus") or 0),
        **{name: int(row.get(key) or 0) for name, key in _COUNTERS.items()},
    )


def _power(row: Mapping[str, Any]) -> Power:
    known = {"running": Power.RUNNING, "stopped": Power.STOPPED}
    power = known.get(str(row.get("status")), Power.UNKNOWN)
    detail = str(row.get("qmpstatus") or "")
    return Power(detail) if power == Power.RUNNING and detail in {Power.PAUSED, Power.IO_ERROR} else power
