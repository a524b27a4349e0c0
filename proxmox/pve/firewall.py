"""VM firewalls: options, ip sets and rules, and all four switches read back."""

from proxmox.driver import VM, Firewall, Policy
from proxmox.pve.http import Part


class Firewalls(Part):
    def firewall(self, vm: VM) -> Firewall:
        raise NotImplementedError

    def protect(self, vm: VM, policy: Policy) -> None:
        raise NotImplementedError
