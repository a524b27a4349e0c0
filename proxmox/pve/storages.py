"""Storages and what is on them: images to make VMs from, and backups."""

import io
from typing import Any

from proxmox import errors
from proxmox.driver import VM, Backup, Storage
from proxmox.pve.cluster import is_there
from proxmox.pve.http import Part
from proxmox.pve.ownership import prove_ours


class Storages(Part):
    def storages(self) -> list[Storage]:
        chains = {
            str(row["storage"])
            for row in self._http.get("storage")
            if int(row.get("snapshot-as-volume-chain") or 0)
        }
        online = [row["node"] for row in self._http.get("nodes") if is_there(row)]
        return [
            _storage(node, row, chain=row["storage"] in chains) for node in online for row in self._on(node)
        ]

    def _on(self, node: str) -> list[dict[str, Any]]:
        try:
            rows: list[dict[str, Any]] = self._http.get(f"nodes/{node}/storage", attempts=1, enabled=1)
        except (errors.UnknownOutcome, errors.Transient):
            return []  # it went away a moment ago; the others are still worth telling
        return rows

    def volumes(self, node: str, storage: str, content: str) -> list[str]:
        rows = self._http.get(f"nodes/{node}/storage/{storage}/content", content=content)
        return [str(row["volid"]) for row in rows]

    def download(
        self, node: str, storage: str, url: str, name: str, *, content: str, sha512: str = ""
    ) -> str | None:
        return self._http.submit(
            "post",
            f"nodes/{node}/storage/{storage}/download-url",
            **{
                "content": content,
                "filename": name,
                "url": url,
                "checksum": sha512 or None,
                "checksum-algorithm": "sha512" if sha512 else None,
            },
        )

    def upload(self, node: str, storage: str, name: str, image: bytes) -> str | None:
        return self._http.submit(
            "post", f"nodes/{node}/storage/{storage}/upload", content="iso", filename=_File(name, image)
        )

    def delete_volume(self, node: str, volume: str) -> str | None:
        try:
            return self._http.submit("delete", _path(node, volume))
        except errors.Missing:
            return None

    def back_up(self, vm: VM, storage: str, notes: str) -> str | None:
        prove_ours(self._http, vm)
        answer = self._http.change(
            "post",
            f"nodes/{vm.node}/vzdump",
            **{
                "vmid": vm.vmid,
                "storage": storage,
                "mode": "snapshot",
                "compress": "zstd",
                # Without it every backup also prunes the VM's older ones by the storage's own rule.
                "remove": 0,
                "notes-template": _one_line(notes),
            },
        )
        if answer == "OK":  # what vzdump says when none of the VMs is on the node (pve-manager: VZDump.pm)
            raise errors.Missing(f"VM {vm.vmid} is not on node {vm.node}; nothing was backed up.")
        return self._http.task_of(answer)

    def backups(self, node: str, storage: str, vmid: int | None = None) -> list[Backup]:
        rows = self._http.get(f"nodes/{node}/storage/{storage}/content", content="backup", vmid=vmid)
        return [
            Backup(
                volume=str(row["volid"]),
                vmid=int(row.get("vmid") or 0),
                notes=str(row.get("notes") or ""),
                protected=bool(int(row.get("protected") or 0)),
                bytes=int(row.get("size") or 0),
                created_at=int(row.get("ctime") or 0),
            )
            for row in rows
        ]

    def annotate_backup(self, node: str, volume: str, *, notes: str, protected: bool) -> None:
        self._http.change("put", _path(node, volume), notes=notes, protected=protected)

    def restore(
        self, archive: str, target: VM, *, name: str, description: str, pool: str, storage: str = ""
    ) -> str | None:
        # No `force`: it would overwrite a VM that has the number. No `start`: its failure would be a warning only.
        return self._http.submit(
            "post",
            f"nodes/{target.node}/qemu",
            vmid=target.vmid,
            archive=archive,
            unique=True,
            name=name,
            description=description,
            pool=pool,
            storage=storage or None,
        )


class _File(io.BytesIO):
    """Bytes with a file's name, which proxmoxer sends as that part of the form."""

    def __init__(self, name: str, content: bytes) -> None:
        super().__init__(content)
        self.name = name


def _storage(node: str, row: dict[str, Any], *, chain: bool) -> Storage:
    return Storage(
        name=str(row["storage"]),
        node=node,
        kind=str(row["type"]),
        content=frozenset(filter(None, str(row.get("content") or "").split(","))),
        shared=bool(int(row.get("shared") or 0)),
        active=bool(int(row.get("active") or 0)),
        total_bytes=int(row.get("total") or 0),
        available_bytes=int(row.get("avail") or 0),
        chain=chain,
    )


def _path(node: str, volume: str) -> str:
    return f"nodes/{node}/storage/{volume.partition(':')[0]}/content/{volume}"


def _one_line(notes: str) -> str:
    """Notes as a template takes them: a backslash and a line break are escaped (pve-guest-common: VZDump/Common.pm)."""
    return notes.replace("\\", "\\\\").replace("\n", "\\n")
