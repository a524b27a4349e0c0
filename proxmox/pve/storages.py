"""Storages and what is on them: images to make VMs from, and backups."""

from proxmox.driver import VM, Backup, Storage
from proxmox.pve.http import Part


class Storages(Part):
    def storages(self) -> list[Storage]:
        raise NotImplementedError

    def volumes(self, node: str, storage: str, content: str) -> list[str]:
        raise NotImplementedError

    def download(
        self, node: str, storage: str, url: str, name: str, *, content: str, sha512: str = ""
    ) -> str | None:
        raise NotImplementedError

    def upload(self, node: str, storage: str, name: str, image: bytes) -> str | None:
        raise NotImplementedError

    def delete_volume(self, node: str, volume: str) -> str | None:
        raise NotImplementedError

    def back_up(self, vm: VM, storage: str, notes: str) -> str | None:
        raise NotImplementedError

    def backups(self, node: str, storage: str, vmid: int | None = None) -> list[Backup]:
        raise NotImplementedError

    def annotate_backup(self, node: str, volume: str, *, notes: str, protected: bool) -> None:
        raise NotImplementedError

    def restore(
        self, archive: str, target: VM, *, name: str, description: str, pool: str, storage: str = ""
    ) -> str | None:
        raise NotImplementedError
