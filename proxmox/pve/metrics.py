"""What VMs used over time, from Proxmox's round-robin databases."""

from proxmox.driver import VM, Sample
from proxmox.pve.http import Part


class Metrics(Part):
    def history(self, vm: VM, timeframe: str = "hour") -> list[Sample]:
        raise NotImplementedError
