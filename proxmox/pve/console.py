"""Consoles: a ticket for the VM's serial line, and where its WebSocket is."""

from proxmox.driver import VM, Console
from proxmox.pve.http import Part


class Consoles(Part):
    def console(self, vm: VM) -> Console:
        raise NotImplementedError
