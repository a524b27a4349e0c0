"""VMs: what they are, how they are made, switched, and removed; and the proof that one is ours."""

from collections.abc import Mapping
from typing import Any

from proxmox import errors
from proxmox.driver import MARK, VM, Clone, Observed, Power
from proxmox.pve.http import Connection, Part


class VMs(Part):
    def observe(self, vm: VM) -> Observed:
        return observed({"node": vm.node, **self._http.get(f"{path_of(vm)}/status/current")})

    def config(self, vm: VM) -> dict[str, str]:
        return {key: str(value) for key, value in self._http.get(f"{path_of(vm)}/config").items()}

    def configure(self, vm: VM, config: Mapping[str, str | int]) -> None:
        self._http.change("put", f"{path_of(vm)}/config", **config)

    def pending(self, vm: VM) -> frozenset[str]:
        raise NotImplementedError

    def create(self, vm: VM, config: Mapping[str, str | int]) -> str | None:
        raise NotImplementedError

    def make_template(self, vm: VM) -> str | None:
        raise NotImplementedError

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
            full=int(clone.full),
        )

    def start(self, vm: VM) -> str | None:
        return self._http.submit("post", f"{path_of(vm)}/status/start")

    def stop(self, vm: VM) -> str | None:
        prove_ours(self._http, vm)
        return self._http.submit("post", f"{path_of(vm)}/status/stop")

    def suspend(self, vm: VM) -> str | None:
        return self._http.submit("post", f"{path_of(vm)}/status/suspend")

    def resume(self, vm: VM) -> str | None:
        return self._http.submit("post", f"{path_of(vm)}/status/resume")

    def shut_down(self, vm: VM, seconds: int) -> str | None:
        raise NotImplementedError

    def destroy(self, vm: VM) -> str | None:
        prove_ours(self._http, vm)
        return self._http.submit("delete", path_of(vm), purge=1)


def prove_ours(http: Connection, vm: VM) -> None:
    """Ownership is a tag and the owner's id in the description: both, or nothing destructive is done."""
    config = http.get(f"{path_of(vm)}/config")
    tags = config.get("tags", "").replace(",", ";").split(";")
    if not vm.owner or vm.owner not in config.get("description", "") or MARK not in tags:
        raise errors.NotOurs(f"VM {vm.vmid} on {vm.node} does not carry autovibe's mark; it is left alone.")


def path_of(vm: VM) -> str:
    return f"nodes/{vm.node}/qemu/{vm.vmid}"


def observed(row: Mapping[str, Any]) -> Observed:
    return Observed(
        node=str(row["node"]),
        vmid=int(row["vmid"]),
        name=str(row.get("name", "")),
        power=_power(row),
        lock=str(row.get("lock") or ""),
        tags=frozenset(filter(None, str(row.get("tags") or "").replace(",", ";").split(";"))),
        template=bool(int(row.get("template") or 0)),
        uptime_seconds=int(row.get("uptime") or 0),
        cpu=float(row.get("cpu") or 0),
        memory_bytes=int(row.get("mem") or 0),
    )


def _power(row: Mapping[str, Any]) -> Power:
    detail = row.get("qmpstatus", "")
    if detail in {Power.PAUSED, Power.IO_ERROR}:
        return Power(detail)
    known = {"running": Power.RUNNING, "stopped": Power.STOPPED}
    return known.get(str(row.get("status")), Power.UNKNOWN)
