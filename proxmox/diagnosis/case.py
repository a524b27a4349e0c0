"""One check under way: the settings, the connection, and what several questions need to know of the cluster."""

import re
from functools import cached_property

from proxmox.diagnosis.setup import Setup
from proxmox.driver import VM, Driver, Observed, Storage
from proxmox.pve import PveDriver
from proxmox.pve.endpoint import endpoints
from proxmox.pve.http import Connection

_DISK = re.compile(r"(scsi|virtio|sata|ide)\d+")


class Case:
    """Each fact is asked for once. Asking raises `errors.ProxmoxError`, settings that cannot be meant `Refused`."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        verify, pinned = setup.verify_tls, setup.fingerprint
        self.endpoints = endpoints(setup.urls, setup.token, verify_tls=verify, fingerprint=pinned)
        self.driver: Driver = PveDriver(
            setup.urls, setup.token, verify_tls=verify, fingerprint=pinned, pool=setup.pool
        )
        self._http = Connection(setup.urls, setup.token, verify_tls=verify, fingerprint=pinned)

    @cached_property
    def version(self) -> str:
        return self.driver.version()

    @property
    def release(self) -> int:
        """8 or 9: Proxmox VE's major version."""
        return int(self.version.partition(".")[0])

    @cached_property
    def embedded(self) -> bool:
        return self.driver.embedded()

    @cached_property
    def pools(self) -> frozenset[str]:
        """The pools that the token may see (`Pool.Audit` on them)."""
        return frozenset(str(row["poolid"]) for row in self._http.get("pools"))

    @cached_property
    def permissions(self) -> dict[str, frozenset[str]]:
        return self.driver.permissions()

    @cached_property
    def inventory(self) -> dict[int, Observed]:
        return {vm.vmid: vm for vm in self.driver.inventory()}

    @cached_property
    def storages(self) -> list[Storage]:
        return self.driver.storages()

    @property
    def template(self) -> Observed | None:
        return self.inventory.get(self.setup.template)

    @cached_property
    def template_config(self) -> dict[str, str]:
        """The template's configuration; empty when there is none."""
        found = self.template
        return self.driver.config(VM(found.node, found.vmid)) if found else {}

    @property
    def template_storages(self) -> list[str]:
        """The storages that the template's disks are on."""
        disks = [
            value.partition(":")[0]
            for key, value in self.template_config.items()
            if _DISK.fullmatch(key) and ":" in value and "media=cdrom" not in value
        ]
        return list(dict.fromkeys(disks))

    @property
    def template_bridges(self) -> list[str]:
        """The bridges that the template's network devices are on."""
        found = [
            option.partition("=")[2]
            for key, value in self.template_config.items()
            if re.fullmatch(r"net\d+", key)
            for option in value.split(",")
            if option.startswith("bridge=")
        ]
        return list(dict.fromkeys(found))
