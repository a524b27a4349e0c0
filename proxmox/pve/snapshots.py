"""Snapshots of a VM's disks, and of its memory."""

from proxmox.driver import VM, Snapshot
from proxmox.pve.http import Part
from proxmox.pve.ownership import path_of, prove_ours


class Snapshots(Part):
    def snapshots(self, vm: VM) -> list[Snapshot]:
        return [
            Snapshot(
                name=row["name"],
                parent=row.get("parent", ""),
                description=row.get("description", ""),
                complete="snapstate" not in row,
            )
            for row in self._http.get(f"{path_of(vm)}/snapshot")
            if row["name"] != "current"
        ]

    def snapshot(self, vm: VM, name: str, description: str, *, ram: bool = False) -> str | None:
        prove_ours(self._http, vm)
        asked: dict[str, str | int] = {"snapname": name, "description": description}
        if ram:
            asked["vmstate"] = 1
        return self._http.submit("post", f"{path_of(vm)}/snapshot", **asked)

    def rollback(self, vm: VM, name: str) -> str | None:
        prove_ours(self._http, vm)
        return self._http.submit("post", f"{path_of(vm)}/snapshot/{name}/rollback")

    def delete_snapshot(self, vm: VM, name: str) -> str | None:
        prove_ours(self._http, vm)
        return self._http.submit("delete", f"{path_of(vm)}/snapshot/{name}")
